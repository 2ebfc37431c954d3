package graphqlws

import (
	"net"
	"syscall"
)

// tcpNotSentLowAt is TCP_NOTSENT_LOWAT, which package syscall does not have.
const tcpNotSentLowAt = 25

// LimitUnsent keeps the kernel from taking megabytes for a peer that does not read, as it does by default. They would
// be memory that no limit knows, and results that are old when the peer gets them. A [Transport] does this with its own
// connections; other streams of a server are better off with it, too. It does nothing for what is no TCP connection, nor
// where there is no such limit.
func LimitUnsent(conn net.Conn) {
	for {
		outer, ok := conn.(interface{ NetConn() net.Conn }) // as tls.Conn has it
		if !ok {
			break
		}
		conn = outer.NetConn()
	}
	socket, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return // it is closed
	}
	// A kernel that does not know the option does without it.
	_ = raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpNotSentLowAt, unsentLimit)
	})
}
