package graphqlhttp_test

import (
	"context"
	"net/http"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"

	"pullwatch/internal/serve/graphqlhttp"
)

var schema graphql.ExecutableSchema

func Example() {
	transport := graphqlhttp.New(graphqlhttp.Options{MaxStreamsPerCaller: 100})
	server := handler.New(schema)
	server.AddTransport(transport) // after those for WebSockets, if any
	http.Handle("/graphql", server)

	// When the process is told to stop:
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	_ = transport.Drain(ctx, 20*time.Second)
}

// A response that does not change is rendered once.
func ExampleReply() {
	var kept *graphqlhttp.Body
	server := handler.New(schema)
	server.AddTransport(graphqlhttp.New(graphqlhttp.Options{}))
	server.AroundOperations(func(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
		if kept != nil && graphqlhttp.Reply(ctx, kept) {
			return graphql.OneShot(&graphql.Response{})
		}
		return next(ctx)
	})
}
