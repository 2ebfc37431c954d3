package graphqlws_test

import (
	"context"
	"net/http"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/transport"

	"pullwatch/internal/serve/graphqlws"
)

var schema graphql.ExecutableSchema

func Example() {
	type tokenKey struct{}
	sockets := graphqlws.New(graphqlws.Options{
		MaxPerCaller: 100,
		InitFunc: func(ctx context.Context, _ http.Header, payload map[string]any) (context.Context, map[string]any, error) {
			token, ok := payload["token"].(string)
			if !ok {
				return nil, nil, &graphqlws.CloseError{Code: graphqlws.CloseForbidden, Reason: "connection_init needs a token"}
			}
			return context.WithValue(ctx, tokenKey{}, token), nil, nil
		},
	})
	server := handler.New(schema)
	server.AddTransport(sockets)
	server.AddTransport(transport.POST{})
	http.Handle("/graphql", server)

	// When the process is told to stop:
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	_ = sockets.Drain(ctx, 20*time.Second)
}
