package httpapi

import (
	"net"
	"sync"
)

// pipes is a net.Listener whose connections are net.Pipes, so that time can be a test's own.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	close  func()
}

func newPipes() pipes {
	closed := make(chan struct{})
	return pipes{make(chan net.Conn), closed, sync.OnceFunc(func() { close(closed) })}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error   { p.close(); return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

// peer is a connection from an address.
type peer struct {
	net.Conn
	address net.TCPAddr
}

func (p peer) RemoteAddr() net.Addr { return &p.address }
