package harness

import (
	"net"
	"sync"
	"testing"
	"time"
)

// slowness is what a slow proxy adds to everything that it passes on.
const slowness = 150 * time.Millisecond

// Proxy stands between a replica and a service that it needs, and can do to the connections what networks do.
type Proxy struct {
	// Address is the host:port that it listens on.
	Address string
	serving sync.WaitGroup

	mu       sync.Mutex
	target   string
	listener net.Listener // nil while connections are refused
	mode     proxyMode
	moved    chan struct{} // closed when mode changes
	conns    map[net.Conn]struct{}
}

type proxyMode int

const (
	passes proxyMode = iota
	slows
	hangs
	hangsRequests
	breaks
	refuses
)

// NewProxy starts a proxy for a service at host:port. It ends with the test.
func NewProxy(t *testing.T, target string) *Proxy {
	t.Helper()
	p := &Proxy{Address: "127.0.0.1:0", target: target, moved: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	p.listen(t)
	p.Address = p.listener.Addr().String()
	t.Cleanup(func() {
		p.Cut()
		p.serving.Wait()
	})
	return p
}

// Cut breaks all connections and refuses new ones, like a machine on which the service does not run.
func (p *Proxy) Cut() {
	p.enter(refuses)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		_ = p.listener.Close()
		p.listener = nil
	}
}

// Reset breaks all connections and each new one, like a load balancer without a backend.
func (p *Proxy) Reset() { p.enter(breaks) }

// Hang keeps all connections, accepts new ones and passes nothing on.
func (p *Proxy) Hang() { p.enter(hangs) }

// HangRequests keeps all connections and accepts new ones, and passes on only what the service sends.
func (p *Proxy) HangRequests() { p.enter(hangsRequests) }

// Redirect makes the proxy one for another address, for connections from now on.
func (p *Proxy) Redirect(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// Slow delays everything that is passed on by slowness.
func (p *Proxy) Slow() { p.enter(slows) }

// Restore lets everything through again, with what waited while the proxy hung.
func (p *Proxy) Restore(t *testing.T) {
	t.Helper()
	p.enter(passes)
	if p.listener == nil {
		p.listen(t)
	}
}

func (p *Proxy) listen(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", p.Address)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listener = listener
	p.serving.Go(func() { p.accept(listener) })
}

func (p *Proxy) enter(mode proxyMode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode = mode
	close(p.moved)
	p.moved = make(chan struct{})
	if mode >= breaks {
		for conn := range p.conns {
			_ = conn.Close()
		}
	}
}

func (p *Proxy) state() (mode proxyMode, target string, moved <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mode, p.target, p.moved
}

// admit waits until something may be passed on, a request or else an answer, and reports whether its connection is still there.
func (p *Proxy) admit(request bool) bool {
	for {
		mode, _, moved := p.state()
		if mode == hangsRequests && !request {
			return true
		}
		switch mode {
		case passes:
			return true
		case slows:
			delay := time.NewTimer(slowness)
			defer delay.Stop()
			<-delay.C
			return true
		case hangs, hangsRequests:
			<-moved
		default:
			return false
		}
	}
}

// keep notes a connection, to be closed by Cut; it reports whether there may be one.
func (p *Proxy) keep(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mode >= breaks {
		return false
	}
	p.conns[conn] = struct{}{}
	return true
}

func (p *Proxy) drop(conn net.Conn) {
	_ = conn.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, conn)
}

func (p *Proxy) accept(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		p.serving.Go(func() { p.serve(conn) })
	}
}

func (p *Proxy) serve(client net.Conn) {
	defer p.drop(client)
	if !p.keep(client) || !p.admit(true) {
		return
	}
	_, target, _ := p.state()
	server, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer p.drop(server)
	if !p.keep(server) {
		return
	}
	var answering sync.WaitGroup
	answering.Go(func() {
		p.pass(client, server, false)
		_ = client.Close()
	})
	p.pass(server, client, true)
	_ = server.Close()
	answering.Wait()
}

// pass copies from from to to, until either has ended or the proxy is cut.
func (p *Proxy) pass(to, from net.Conn, request bool) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 && p.admit(request) {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
