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

// limitUnsent keeps the kernel from taking megabytes for a peer that does not read, as it does by default. They would
// be memory that no limit of this package knows, and results that are old when the peer gets them.
func limitUnsent(conn net.Conn) {
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
