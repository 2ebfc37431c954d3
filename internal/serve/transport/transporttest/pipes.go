package transporttest

import (
	"net"
	"sync"
	"testing"
)

// Pipes is a net.Listener whose connections are net.Pipes, so that time can be a test's own.
type Pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	close  func()
}

// Listen returns Pipes that listen until they are closed.
func Listen() Pipes {
	closed := make(chan struct{})
	return Pipes{make(chan net.Conn), closed, sync.OnceFunc(func() { close(closed) })}
}

// Accept implements net.Listener, as do Close and Addr.
func (p Pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p Pipes) Close() error   { p.close(); return nil }
func (p Pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

// Dial returns the client's end of a new connection. The server sees it come from an address. It is closed when t has
// ended.
func (p Pipes) Dial(t testing.TB, from net.Addr) net.Conn {
	t.Helper()
	client, server := net.Pipe()
	t.Cleanup(func() { client.Close() })
	p.conns <- conn{server, from}
	return client
}

type conn struct {
	net.Conn
	from net.Addr
}

func (c conn) RemoteAddr() net.Addr { return c.from }
