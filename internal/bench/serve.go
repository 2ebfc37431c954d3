package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
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
	"pullwatch/internal/budget"
	"pullwatch/internal/serve/executor"
	"pullwatch/internal/serve/httpapi"
	"pullwatch/internal/serve/render"
	"pullwatch/internal/turns"
	"pullwatch/resolvers"
)

// The servers of GraphQL that are compared.
const (
	pullwatch = "pullwatch"
	gqlgen    = "plain gqlgen"
	// gqlgenByLine sends each line of a log in a message of its own.
	gqlgenByLine = "plain gqlgen, line by line"
)

// serveCommand is the argument that makes this program a server of GraphQL. What else it is given is said by serve.
const serveCommand = "serve"

// serve takes orders at an address and serves GraphQL at another one, until ctx is done: as one of the servers that are
// compared, with a number of pulls. If profile is not empty it is the file that a CPU profile is written to.
func serve(ctx context.Context, control, address, kind, pulls, profile string) error {
	defer profiled(profile)()
	n, err := strconv.Atoi(pulls)
	if err != nil {
		return err
	}
	b, err := newBackend(n)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return takeOrders(ctx, control, orders(b.publish)) })
	group.Go(func() error {
		switch kind {
		case pullwatch:
			return servePullwatch(ctx, listener, b)
		case gqlgen:
			return serveGqlgen(ctx, listener, b)
		case gqlgenByLine:
			return serveResolvers(ctx, listener, lineByLine{b.resolver(prometheus.NewRegistry())})
		default:
			return fmt.Errorf("there is no server %q", kind)
		}
	})
	return group.Wait()
}

// servePullwatch serves as the program does.
func servePullwatch(ctx context.Context, listener net.Listener, b *backend) error {
	metrics := prometheus.NewRegistry()
	failures := executor.NewErrors(slog.Default(), metrics)
	schema := resolvers.NewSchema(b.resolver(metrics))
	long := turns.New(max(1, runtime.GOMAXPROCS(0)/2))
	renderer := render.New(render.Options{
		MaxKept: 64 << 20, Turns: long,
		Schema: schema, Lists: b, PresentError: failures.Present, Recover: failures.Recover,
		Metrics: render.NewMetrics(metrics),
	})
	return httpapi.New(httpapi.Options{
		Schema: schema, Errors: failures, Middleware: renderer.Operation, ActivePulls: b.hub.ActiveCount,
		Page: http.NotFoundHandler(), Ready: func() error { return nil }, Loopback: true,
		Limits: httpapi.Limits{ // the program's defaults, but that any number of connections comes from one address
			PingInterval: 54 * time.Second, PongWait: time.Minute, WriteTimeout: 10 * time.Second, InitTimeout: 10 * time.Second,
			MaxConnections: 20_000, MaxSubscriptions: 100, MaxMessage: 64 << 10, MaxOperations: 1000, Introspection: true,
		},
		Memory: budget.New(1<<30, metrics), Turns: long, KnownDocuments: 32 << 20,
		Metrics: metrics, Log: slog.Default(),
	}).Serve(ctx, listener)
}

// serveGqlgen serves with gqlgen and its own transports: the same schema and resolvers.
func serveGqlgen(ctx context.Context, listener net.Listener, b *backend) error {
	return serveResolvers(ctx, listener, b.resolver(prometheus.NewRegistry()))
}

func serveResolvers(ctx context.Context, listener net.Listener, root graph.ResolverRoot) error {
	server := handler.New(graph.NewExecutableSchema(graph.Config{Resolvers: root}))
	server.AddTransport(transport.Websocket{PingPongInterval: 54 * time.Second, MissingPongOk: true})
	server.AddTransport(transport.POST{})
	server.SetQueryCache(lru.New[*ast.QueryDocument](1000))
	failures := executor.NewErrors(slog.Default(), prometheus.NewRegistry())
	server.SetErrorPresenter(failures.Present)
	server.SetRecoverFunc(failures.Recover)
	return serveUntil(ctx, listener, server)
}

// profiled begins a CPU profile and returns what ends it.
func profiled(file string) (end func()) {
	if file == "" {
		return func() {}
	}
	out, err := os.Create(file)
	if err == nil {
		err = pprof.StartCPUProfile(out)
	}
	if err != nil {
		slog.Error("there is no profile", "file", file, "error", err)
		return func() {}
	}
	return func() {
		pprof.StopCPUProfile()
		if err := out.Close(); err != nil {
			slog.Error("the profile is not complete", "file", file, "error", err)
		}
	}
}
