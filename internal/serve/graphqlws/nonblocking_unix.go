//go:build unix

package graphqlws

import (
	"net"
	"syscall"
)

// rawConn returns the file descriptor of a connection. It returns nil if bytes cannot be written to that directly, as with
// TLS.
func rawConn(conn net.Conn) syscall.RawConn {
	var raw syscall.RawConn
	switch conn := conn.(type) {
	case *net.TCPConn:
		raw, _ = conn.SyscallConn() // fails only if the connection is closed; then writing fails, too
	case *net.UnixConn:
		raw, _ = conn.SyscallConn()
	}
	return raw
}

// tryWrite writes as much as the kernel takes at once. It is for [syscall.RawConn.Control], which costs less than Write and
// has no deadlines. No other goroutine writes meanwhile: see connection.writing.
func (q *queued) tryWrite(fd uintptr) {
	var n int
	n, q.err = syscall.Write(int(fd), q.unsent)
	for q.err == syscall.EINTR {
		n, q.err = syscall.Write(int(fd), q.unsent)
	}
	if q.err == syscall.EAGAIN {
		q.err = nil
		return
	}
	q.unsent = q.unsent[max(n, 0):]
}
