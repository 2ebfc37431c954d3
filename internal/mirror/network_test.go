package mirror

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"
	"testing"
)

// newNetwork serves handlers by host name, over plain HTTP and without the operating system, so that a test in a
// synctest bubble decides about time. It returns a transport into it.
func newNetwork(t *testing.T, hosts map[string]http.Handler) *http.Transport {
	return newNetworkAt(t, hosts, nil)
}

// newNetworkAt is newNetwork with the addresses that host names resolve to.
func newNetworkAt(t *testing.T, hosts map[string]http.Handler, addresses map[string]string) *http.Transport {
	listeners := make(map[string]*pipeListener, len(hosts))
	var serving sync.WaitGroup
	t.Cleanup(serving.Wait)
	for host, handler := range hosts {
		listener := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
		listeners[host] = listener
		server := &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0)}
		serving.Go(func() { _ = server.Serve(listener) })
		t.Cleanup(func() { _ = server.Close() })
	}
	base := newHTTPTransport()
	base.Proxy = nil
	base.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		listener, ok := listeners[host]
		if !ok {
			return nil, &net.OpError{Op: "dial", Net: network,
				Err: &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}}
		}
		if at, known := addresses[host]; known {
			if err := mayConnect(ctx, netip.MustParseAddr(at)); err != nil {
				return nil, &net.OpError{Op: "dial", Net: network, Err: err}
			}
		}
		if port != "80" {
			return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
		}
		return listener.dial(ctx)
	}
	t.Cleanup(base.CloseIdleConnections)
	return base
}

type pipeListener struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *pipeListener) dial(ctx context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "dial", Net: "pipe", Err: syscall.ECONNREFUSED}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }
