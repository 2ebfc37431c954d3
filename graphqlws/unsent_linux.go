package graphqlws

import (
	"crypto/tls"
	"net"
	"syscall"
)

const (
	// tcpNotSentLowAt is TCP_NOTSENT_LOWAT, which package syscall does not have.
	tcpNotSentLowAt = 25
	// unsentLimit is how many bytes the kernel takes beyond what the peer's receive window has room for.
	unsentLimit = 64 << 10
)

// LimitUnsent keeps the kernel from taking megabytes for a peer that does not read, as it does by default. They would
// be memory that no limit knows, and results that are old when the peer gets them. A [Transport] does this with its own
// connections; other streams of a server are better off with it, too. It does nothing for what is no TCP connection, nor
// where there is no such limit.
func LimitUnsent(conn net.Conn) {
	if encrypted, ok := conn.(*tls.Conn); ok {
		conn = encrypted.NetConn()
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
