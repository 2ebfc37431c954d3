// Package fakeapi is a Kubernetes API server in memory, for Jobs, Pods, their logs and Leases. It speaks the real
// protocol to the real client-go, without a socket: optimistic locking by resourceVersion, patches, selectors, watches
// that can be resumed and that expire, streamed lists, JSON and protobuf. There are no controllers behind it: a Job
// that is created here does nothing until somebody writes its status.
package fakeapi

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
)

// watchWindow is how many events of each resource a watch can be resumed over, and how far it may fall behind.
const watchWindow = 4096

// errClosed is what requests get that are made of a Server, or still under way, when it is closed.
var errClosed = errors.New("fakeapi: server closed")

// Server is the API server. It is safe for concurrent use.
type Server struct {
	store *store
	logs  *logs
	mux   *http.ServeMux

	ctx   context.Context
	close context.CancelCauseFunc

	mu       sync.Mutex
	closed   bool
	handlers sync.WaitGroup
}

// New returns an empty Server. The caller closes it.
func New() *Server { return newServer(watchWindow) }

func newServer(window int) *Server {
	s := &Server{logs: newLogs(), mux: http.NewServeMux()}
	s.store = newStore(window, s.logs)
	s.ctx, s.close = context.WithCancelCause(context.Background())
	s.route()
	return s
}

// Config returns a client configuration whose requests s answers within this process. It has no rate limit and asks
// for protobuf.
func (s *Server) Config() *rest.Config {
	return &rest.Config{
		Host:      "http://demo",
		Transport: transport{s},
		QPS:       -1,
		ContentConfig: rest.ContentConfig{
			ContentType:        runtime.ContentTypeProtobuf,
			AcceptContentTypes: runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON,
		},
	}
}

// ServeHTTP answers one request. A watch, or a log that is followed, ends with the request's context or with s.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	defer context.AfterFunc(s.ctx, func() { cancel(errClosed) })()
	s.mux.ServeHTTP(w, r.WithContext(ctx))
}

// Backdate makes objects that are created from now on as old as age: their creation time, and annotations that hold a
// time in RFC 3339. 0 ends it.
func (s *Server) Backdate(age time.Duration) { s.store.backdate(age) }

// Close ends all requests and waits for those that came through Config. Later ones fail.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.close(errClosed)
	s.handlers.Wait()
}

// goHandle runs f in a goroutine that Close waits for, unless s is closed.
func (s *Server) goHandle(f func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	s.handlers.Go(f)
	return nil
}
