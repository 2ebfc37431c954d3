package e2e

import (
	"io"
	"net"
	"net/url"
	"path/filepath"
	"sync"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
)

// proxy stands between a server and the API server, and can cut them off from each other.
type proxy struct {
	listener net.Listener
	target   string
	serving  sync.WaitGroup

	mu    sync.Mutex
	isCut bool
	conns map[net.Conn]struct{}
}

// newProxy starts a proxy that ends with the test.
func newProxy(t *testing.T) *proxy {
	t.Helper()
	api, err := url.Parse(env.config.Host)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{target: api.Host, conns: map[net.Conn]struct{}{}}
	if api.Port() == "" {
		p.target = net.JoinHostPort(api.Hostname(), "443")
	}
	if p.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	p.serving.Go(p.accept)
	t.Cleanup(func() {
		_ = p.listener.Close()
		p.cut()
		p.serving.Wait()
	})
	return p
}

// kubeconfig returns a file with which a server reaches the cluster through the proxy.
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
		api.Host = p.listener.Addr().String()
		cluster.Server = api.String()
	}
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		t.Fatal(err)
	}
	return file
}

// cut breaks all connections and refuses new ones.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.isCut = true
	for conn := range p.conns {
		_ = conn.Close()
	}
}

// restore lets connections through again.
func (p *proxy) restore() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.isCut = false
}

// keep notes a connection, to be closed by cut; it reports whether there may be one.
func (p *proxy) keep(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.isCut {
		p.conns[conn] = struct{}{}
	}
	return !p.isCut
}

func (p *proxy) drop(conn net.Conn) {
	_ = conn.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, conn)
}

func (p *proxy) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.serving.Go(func() { p.serve(conn) })
	}
}

func (p *proxy) serve(client net.Conn) {
	defer p.drop(client)
	if !p.keep(client) {
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
		_, _ = io.Copy(client, server)
		_ = client.Close()
	})
	_, _ = io.Copy(server, client)
	_ = server.Close()
	answering.Wait()
}
