// Package httpapi is pullwatch's HTTP server: /graphql over HTTP and WebSockets, the page, health, readiness and metrics.
//
//	server := httpapi.New(httpapi.Options{...})
//	err := server.Serve(ctx, listener) // until ctx is done and all handlers have returned
//
// A request passes, in this order, the memory budget of connections and headers (clientconn.go), the check of its Host on
// loopback (host.go), CORS for the allowed origins (origins.go), and one of the transports graphqlhttp and graphqlws. Both
// execute operations with the package executor.
//
// When ctx is done, the server accepts no new connections. WebSockets get 1012 and streams end, spread over half of
// DrainTimeout. Requests that are being answered have all of it. Those that take longer are cut off.
package httpapi

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"pullwatch/internal/budget"
	"pullwatch/internal/caller"
	"pullwatch/internal/serve/executor"
	"pullwatch/internal/serve/trusted"
	"pullwatch/internal/turns"
)

// Options say what is served and how.
type Options struct {
	Schema graphql.ExecutableSchema
	// Errors presents all errors, also those of Middleware.
	Errors *executor.Errors
	// Middleware is around the execution of each operation, or nil. With graphqlhttp.Repeat it can answer later requests
	// with the same text before they are executed.
	Middleware graphql.OperationMiddleware
	// ActivePulls returns about how many active pulls there are.
	ActivePulls func() int
	// Page is served at /.
	Page http.Handler
	// Ready returns nil if this replica is ready to answer, otherwise why it is not.
	Ready func() error
	// Loopback says that only this machine can connect. Then requests for other host names are refused: a web page can let
	// its own name resolve to this machine, and would have the same origin as the server.
	Loopback bool
	// AllowedOrigins are origins of pages that may send requests and open WebSockets. The server's own pages always may.
	AllowedOrigins []string
	// Trusted are the trusted documents, nil for none. With OnlyTrusted, no other is executed.
	Trusted     *trusted.Documents
	OnlyTrusted bool
	// Limits have no defaults here.
	Limits Limits
	// Memory is the budget for all memory that clients cause, nil for no bound.
	Memory *budget.Budget
	// Turns are for work that takes long.
	Turns *turns.Turns
	// CachedDocuments bounds the cache of parsed documents, in bytes.
	CachedDocuments int
	// Metrics is served at /metrics. The package registers its own metrics with it.
	Metrics *prometheus.Registry
	// Certificate is for HTTPS. If it is nil, the server speaks plain HTTP.
	Certificate *Certificate
	// DrainTimeout is how long requests may take to finish when the server stops.
	DrainTimeout time.Duration
	Logger       *slog.Logger
}

// Server serves HTTP.
type Server struct {
	options    Options
	handler    http.Handler
	transports transports
}

// New returns a Server. It listens when Serve is called.
func New(o Options) *Server {
	operations := executor.NewMetrics(o.Metrics)
	s := &Server{options: o, transports: newTransports(o, operations)}
	operate := executor.New(executor.Options{
		Schema: o.Schema, Errors: o.Errors, Middleware: o.Middleware, ActivePulls: o.ActivePulls,
		MaxOperations: o.Limits.MaxOperations, Introspection: o.Limits.Introspection,
		Trusted: o.Trusted, OnlyTrusted: o.OnlyTrusted,
		CachedDocuments: o.CachedDocuments, Turns: o.Turns, Metrics: operations,
	})
	mux := http.NewServeMux()
	mux.Handle("/graphql", shareWith(o.AllowedOrigins, s.transports.serve(operate)))
	mux.Handle("GET /metrics", promhttp.HandlerFor(o.Metrics, promhttp.HandlerOpts{Registry: o.Metrics}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.Handle("/", o.Page)
	s.handler = mux
	if o.Loopback {
		s.handler = requireHost(mux, o.AllowedOrigins)
	}
	s.handler = countParsedHeaders(logPanics(s.handler, o.Logger))
	if o.Certificate != nil {
		o.Certificate.register(o.Metrics)
	}
	if o.Trusted != nil {
		o.Trusted.Register(o.Metrics)
	}
	return s
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	if err := s.options.Ready(); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

// Serve serves on listener, which it closes, until ctx is done or listener fails. Then it accepts no new connections, ends
// subscriptions and gives other requests DrainTimeout to finish. It closes the connections of those that take longer, ends their contexts, and
// returns when all handlers have returned.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	requests, cutOff := context.WithCancel(context.WithoutCancel(ctx))
	defer cutOff()
	var handlers handlers
	server := &http.Server{
		Handler:     handlers.track(s.handler),
		BaseContext: func(net.Listener) context.Context { return requests },
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			ctx = caller.With(ctx, caller.Caller{Address: callerAt(conn.RemoteAddr())})
			return context.WithValue(ctx, connectionKey{}, conn)
		},
		ConnState:         trackState,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		// All requests of a connection may buffer as much of their bodies as one over HTTP/1.1.
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: 100, MaxReceiveBufferPerConnection: 64 << 10, MaxReceiveBufferPerStream: 64 << 10,
		},
		ErrorLog: newErrorLog(s.options.Logger),
	}
	stopped := make(chan error, 1)
	stop := func() {
		draining, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.options.DrainTimeout)
		defer cancel()
		// Shutdown begins at the same time. It closes the listener first, so that no new connection brings a request.
		var subscriptions error
		var ending sync.WaitGroup
		ending.Go(func() { subscriptions = s.transports.drain(draining, s.options.DrainTimeout/2) })
		err := server.Shutdown(draining)
		ending.Wait()
		err = errors.Join(subscriptions, err, server.Close())
		cutOff() // closing a connection does not end the context of a request whose body nobody reads
		handlers.wait()
		stopped <- err
	}
	stillServing := context.AfterFunc(ctx, stop)
	var err error
	if certificate := s.options.Certificate; certificate != nil {
		server.TLSConfig = &tls.Config{GetCertificate: certificate.get}
		err = server.ServeTLS(newClientListener(listener, s.options.Memory, true), "", "")
	} else {
		err = server.Serve(newClientListener(listener, s.options.Memory, false))
	}
	if stillServing() { // no connection can be accepted
		stop()
		return fmt.Errorf("serve HTTP: %w", err)
	}
	if err := <-stopped; err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("stop serving HTTP: %w", err)
	}
	return nil
}
