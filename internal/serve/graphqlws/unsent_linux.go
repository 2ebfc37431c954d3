package graphqlws

import (
	"net"
	"syscall"
)

// tcpNotSentLowAt is TCP_NOTSENT_LOWAT, which package syscall does not have.
const tcpNotSentLowAt = 25

// LimitUnsent keeps the kernel from buffering megabytes for a client that does not read, as it does by default. No limit
// would count that memory, and the results would be old when the client gets them. A [Transport] calls it for its own
// connections. It is good for other streams of a server, too. It does nothing if conn is no TCP connection, or the kernel
// has no such limit.
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
	// An older kernel may not know the option.
	_ = raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpNotSentLowAt, unsentLimit)
	})
}
