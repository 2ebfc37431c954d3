// Package fakeapi is a Kubernetes API server in memory, for Jobs, Pods, their logs and Leases. The real client-go speaks the
// real protocol to it, without a socket: optimistic locking by resourceVersion, patches, selectors, watches that resume and
// expire, streamed lists, JSON and protobuf. It has no controllers: a new Job does nothing until a client writes its status.
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

// watchWindow is how many events of each resource are kept. A watch that is further behind expires.
const watchWindow = 4096

// errClosed is the error of requests to a closed Server, and of those that run when it is closed.
var errClosed = errors.New("fakeapi: server closed")

// Server is the API server. Any number of goroutines may use it.
type Server struct {
	store   *store
	podLogs *podLogs
	mux     *http.ServeMux

	ctx   context.Context
	close context.CancelCauseFunc

	mu       sync.Mutex
	closed   bool
	handlers sync.WaitGroup
}

// New returns an empty Server. The caller closes it.
func New() *Server { return newServer(watchWindow) }

func newServer(window int) *Server {
	s := &Server{podLogs: newPodLogs(), mux: http.NewServeMux()}
	s.store = newStore(window, s.podLogs)
	s.ctx, s.close = context.WithCancelCause(context.Background())
	s.route()
	return s
}

// Config returns a configuration for clients in this process, whose requests s answers. It has no rate limit and asks for
// protobuf.
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

// ServeHTTP implements http.Handler. A watch or a followed log ends with the request's context, or when s is closed.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	defer context.AfterFunc(s.ctx, func() { cancel(errClosed) })()
	s.mux.ServeHTTP(w, r.WithContext(ctx))
}

// Backdate moves new objects into the past by age: their creation time, and annotations that hold a time in RFC 3339. 0 ends
// that.
func (s *Server) Backdate(age time.Duration) { s.store.backdate(age) }

// Close ends all requests, and waits for those of clients that use Config. Later requests fail.
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
