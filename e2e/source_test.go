package e2e

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// source is a registry in this process from which pods copy. A gate can hold its blobs, so that a test decides how far
// a copy gets.
type source struct {
	// host is its host:port, as pods know it.
	host string

	mu   sync.Mutex
	gate *gate
}

// newSource starts an empty registry, which ends with the test.
func newSource(t *testing.T) *source {
	t.Helper()
	s := new(source)
	blobs := registry.New(registry.WithBlobHandler(registry.NewDiskBlobHandler(t.TempDir())), registry.Logger(log.New(io.Discard, "", 0)))
	s.host = serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if gate := s.held(); gate != nil && r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
			w = &gatedWriter{ResponseWriter: w, gate: gate, ctx: r.Context()}
		}
		blobs.ServeHTTP(w, r)
	}))
	return s
}

// serve serves a handler at an address that pods reach, until the test has ended.
func serve(t *testing.T, handler http.Handler) (host string) {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(env.host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() {
		_ = server.Close()
		serving.Wait()
	})
	return listener.Addr().String()
}

// image pushes a new image under name, such as app:1, and returns its whole reference and its digest.
func (s *source) image(t *testing.T, name string, size, layers int64) (reference, digest string) {
	t.Helper()
	reference = s.host + "/" + name
	return reference, s.push(t, name, randomImage(t, size, layers))
}

func (s *source) push(t *testing.T, name string, what interface{ Digest() (v1.Hash, error) }) string {
	t.Helper()
	return push(t, s.host+"/"+name, what, authn.Anonymous)
}

// hold lets pods read bytes more of blobs, in all, and then makes them wait until the gate is opened.
func (s *source) hold(t *testing.T, bytes int64) *gate {
	g := &gate{left: bytes, open: make(chan struct{})}
	t.Cleanup(g.release)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gate = g
	return g
}

func (s *source) held() *gate {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gate
}

// gate lets a number of bytes through and the rest once it has been released.
type gate struct {
	mu   sync.Mutex
	left int64
	open chan struct{}
	once sync.Once
}

func (g *gate) release() { g.once.Do(func() { close(g.open) }) }

// pass returns how many of n bytes may go through now, at least one, or ctx's error.
func (g *gate) pass(ctx context.Context, n int) (int, error) {
	if allowed := g.take(n); allowed > 0 {
		return allowed, nil
	}
	select {
	case <-g.open:
		return n, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (g *gate) take(n int) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	allowed := int(min(g.left, int64(n)))
	g.left -= int64(allowed)
	return allowed
}

// gatedWriter sends a response through a gate.
type gatedWriter struct {
	http.ResponseWriter
	gate *gate
	ctx  context.Context
}

func (w *gatedWriter) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		n, err := w.gate.pass(w.ctx, len(p)-written)
		if err != nil {
			return written, err
		}
		n, err = w.ResponseWriter.Write(p[written : written+n])
		written += n
		if err != nil {
			return written, err
		}
		if written < len(p) {
			// What has passed is to arrive before the wait for the rest.
			_ = http.NewResponseController(w.ResponseWriter).Flush()
		}
	}
	return written, nil
}
