package e2e

import (
	"net"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
)

// slowness is what a slow proxy adds to everything that it passes on.
const slowness = 150 * time.Millisecond

// proxy stands between a replica and a service that it needs, and can do to the connections what networks do.
type proxy struct {
	address, target string
	serving         sync.WaitGroup

	mu       sync.Mutex
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
	breaks
	refuses
)

// newProxy starts a proxy for a service at host:port. It ends with the test.
func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	p := &proxy{address: "127.0.0.1:0", target: target, moved: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	p.listen(t)
	p.address = p.listener.Addr().String()
	t.Cleanup(func() {
		p.cut()
		p.serving.Wait()
	})
	return p
}

// newAPIProxy starts a proxy for the API server.
func newAPIProxy(t *testing.T) *proxy {
	t.Helper()
	api, err := url.Parse(env.config.Host)
	if err != nil {
		t.Fatal(err)
	}
	target := api.Host
	if api.Port() == "" {
		target = net.JoinHostPort(api.Hostname(), "443")
	}
	return newProxy(t, target)
}

// kubeconfig returns a file with which a server reaches the cluster through the proxy, which is one of newAPIProxy.
func (p *proxy) kubeconfig(t *testing.T) string {
	t.Helper()
	config, err := clientcmd.LoadFromFile(env.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	for _, cluster := range config.Clusters {
		api, err := url.Parse(cluster.Server)
		if err != nil {
			t.Fatal(err)
		}
		if cluster.TLSServerName == "" {
			cluster.TLSServerName = api.Hostname()
		}
		api.Host = p.address
		cluster.Server = api.String()
	}
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		t.Fatal(err)
	}
	return file
}

// cut breaks all connections and refuses new ones, as a machine does on which the service does not run.
func (p *proxy) cut() {
	p.enter(refuses)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		_ = p.listener.Close()
		p.listener = nil
	}
}

// reset breaks all connections and each new one, as a load balancer does that has nowhere to send them.
func (p *proxy) reset() { p.enter(breaks) }

// hang keeps all connections, accepts new ones and passes nothing on.
func (p *proxy) hang() { p.enter(hangs) }

// slow delays everything that is passed on by slowness.
func (p *proxy) slow() { p.enter(slows) }

// restore lets everything through again, with what waited while the proxy hung.
func (p *proxy) restore(t *testing.T) {
	t.Helper()
	p.enter(passes)
	if p.listener == nil {
		p.listen(t)
	}
}

func (p *proxy) listen(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listener = listener
	p.serving.Go(func() { p.accept(listener) })
}

func (p *proxy) enter(mode proxyMode) {
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

func (p *proxy) state() (mode proxyMode, moved <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mode, p.moved
}

// admit waits until something may be passed on, and reports whether its connection is still there.
func (p *proxy) admit() bool {
	for {
		mode, moved := p.state()
		switch mode {
		case passes:
			return true
		case slows:
			delay := time.NewTimer(slowness)
			defer delay.Stop()
			<-delay.C
			return true
		case hangs:
			<-moved
		default:
			return false
		}
	}
}

// keep notes a connection, to be closed by cut; it reports whether there may be one.
func (p *proxy) keep(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mode >= breaks {
		return false
	}
	p.conns[conn] = struct{}{}
	return true
}

func (p *proxy) drop(conn net.Conn) {
	_ = conn.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, conn)
}

func (p *proxy) accept(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		p.serving.Go(func() { p.serve(conn) })
	}
}

func (p *proxy) serve(client net.Conn) {
	defer p.drop(client)
	if !p.keep(client) || !p.admit() {
		return
	}
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer p.drop(server)
	if !p.keep(server) {
		return
	}
	var answering sync.WaitGroup
	answering.Go(func() {
		p.pass(client, server)
		_ = client.Close()
	})
	p.pass(server, client)
	_ = server.Close()
	answering.Wait()
}

// pass copies what from says to to, until either has ended or the proxy is cut.
func (p *proxy) pass(to, from net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 && p.admit() {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
