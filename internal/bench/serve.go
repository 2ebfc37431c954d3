package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/rpc"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"time"

	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/lru"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/vektah/gqlparser/v2/ast"
	"golang.org/x/sync/errgroup"

	"pullwatch/graph"
	"pullwatch/internal/replica"
	"pullwatch/internal/serve/executor"
	"pullwatch/internal/serve/httpapi"
)

// The kinds of servers that are compared.
const (
	pullwatch    = "pullwatch"
	gqlgen       = "plain gqlgen"
	gqlgenByLine = "plain gqlgen, line by line" // sends each line of a log in a message of its own
	netHTTP      = "net/http"                   // writes the same bytes to every request
	preparedMsgs = "prepared messages"          // writes the same bytes to every subscriber
)

// serveCommand is the command line of a server. It ends when its standard input does.
type serveCommand struct {
	Kind    string `arg:""`
	Pulls   int    `help:"How many pulls there are."`
	Body    string `help:"File with the response, or the update, of a server that does not make its own."`
	Writers int    `help:"How many goroutines write prepared messages."`
	Profile string `help:"File for a CPU profile."`
}

// arguments returns what kong makes s of.
func (s *serveCommand) arguments() []string {
	return []string{
		"serve", s.Kind, "--pulls=" + strconv.Itoa(s.Pulls), "--writers=" + strconv.Itoa(s.Writers), "--body=" + s.Body, "--profile=" + s.Profile,
	}
}

// Run serves on a free address, which it prints, and takes orders over the standard input and output.
func (s *serveCommand) Run(ctx context.Context) error {
	if s.Profile != "" {
		out, err := os.Create(s.Profile)
		if err != nil {
			return err
		}
		defer out.Close()
		if err := pprof.StartCPUProfile(out); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	serve, publish, err := s.server()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	orders := rpc.NewServer()
	if err := orders.RegisterName("Server", &Orders{publish}); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer stop()
		fmt.Println(listener.Addr())
		orders.ServeConn(stdio{os.Stdin, os.Stdout})
		return nil
	})
	group.Go(func() error { return serve(ctx, listener) })
	return group.Wait()
}

// serveFunc serves on a listener, which it closes, until ctx is done.
type serveFunc func(ctx context.Context, listener net.Listener) error

// server returns how the server serves, and how it publishes.
func (s *serveCommand) server() (serveFunc, func(Publication) error, error) {
	if s.Body != "" {
		body, err := os.ReadFile(s.Body)
		if err != nil {
			return nil, nil, err
		}
		if s.Kind == netHTTP {
			return serveHandler(sameBody(body)), nil, nil
		}
		p := &prepared{text: body, writers: s.Writers}
		return serveHandler(http.HandlerFunc(p.accept)), p.publish, nil
	}
	b, err := newBackend(s.Pulls)
	if err != nil {
		return nil, nil, err
	}
	switch s.Kind {
	case pullwatch:
		return servePullwatch(b), b.publish, nil
	case gqlgen:
		return serveGqlgen(b.resolver(newResources())), b.publish, nil
	case gqlgenByLine:
		return serveGqlgen(lineByLine{b.resolver(newResources())}), b.publish, nil
	}
	return nil, nil, fmt.Errorf("there is no server %q", s.Kind)
}

// Orders are what a server does on behalf of the benchmark.
type Orders struct{ publish func(Publication) error }

// Publish publishes, and returns after the last state.
func (o *Orders) Publish(p Publication, _ *int) error { return o.publish(p) }

// Usage is what a process has in use.
type Usage struct {
	// Heap, Stack and Resident are bytes: what is reachable, the goroutines' stacks, and the machine's memory.
	Heap, Stack, Resident, Goroutines float64
}

// Usage tells what is in use, but Resident, after it has given everything else back.
func (o *Orders) Usage(_ int, used *Usage) error {
	for range 6 { // each halves the stacks of goroutines
		runtime.GC()
	}
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	*used = Usage{Heap: float64(m.HeapAlloc), Stack: float64(m.StackInuse), Goroutines: float64(runtime.NumGoroutine())}
	return nil
}

// servePullwatch serves as the program does.
func servePullwatch(b *backend) serveFunc {
	resources := newResources()
	return replica.NewServer(resources, b.resolver(resources), httpapi.Options{
		ActivePulls: b.hub.ActiveCount, Page: http.NotFoundHandler(), Ready: func() error { return nil }, Loopback: true,
		Limits: httpapi.Limits{ // the program's defaults, except that one address may open all connections
			PingInterval: 54 * time.Second, PongWait: time.Minute, WriteTimeout: 10 * time.Second, InitTimeout: 10 * time.Second,
			MaxConnections: 20_000, MaxSubscriptions: 100, MaxMessage: 64 << 10, MaxOperations: 1000, Introspection: true,
		},
	}).Serve
}

// newResources returns what the parts of a replica share, with a gigabyte for clients.
func newResources() *replica.Resources {
	return replica.NewResources(4<<30/3, prometheus.NewRegistry(), slog.Default())
}

// serveGqlgen serves the same schema with gqlgen's own transports.
func serveGqlgen(root graph.ResolverRoot) serveFunc {
	server := handler.New(graph.NewExecutableSchema(graph.Config{Resolvers: root}))
	server.AddTransport(transport.Websocket{PingPongInterval: 54 * time.Second, MissingPongOk: true})
	server.AddTransport(transport.POST{})
	server.SetQueryCache(lru.New[*ast.QueryDocument](1000))
	failures := executor.NewErrors(slog.Default(), prometheus.NewRegistry())
	server.SetErrorPresenter(failures.Present)
	server.SetRecoverFunc(failures.Recover)
	return serveHandler(server)
}

// sameBody answers every request with body.
func sameBody(body []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil { // an unread body would cost the connection
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body) // a client that is gone needs no answer
	})
}

func serveHandler(h http.Handler) serveFunc {
	return func(ctx context.Context, listener net.Listener) error {
		server := &http.Server{Handler: h}
		defer context.AfterFunc(ctx, func() { _ = server.Close() })()
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	}
}
