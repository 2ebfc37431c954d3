// Package httpapi is what pullwatch serves over HTTP: the GraphQL endpoint, the page, health and metrics.
package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/extension"
	"github.com/99designs/gqlgen/graphql/handler/lru"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"pullwatch/resolvers"
	"pullwatch/usererr"
)

// Limits of a request.
const (
	maxBody       = 1 << 20
	maxTokens     = 10_000
	maxComplexity = 2_000
	initTimeout   = 10 * time.Second
	cachedQueries = 1_000
)

// newGraphQL returns the handler of /graphql.
func newGraphQL(schema graphql.ExecutableSchema, sockets *webSockets, metrics *operationMetrics) http.Handler {
	server := handler.New(schema)
	server.AddTransport(transport.Websocket{
		Implementation:   sockets,
		InitTimeout:      initTimeout,
		InitFunc:         acceptInit,
		PayloadReadLimit: new(int64(maxBody)),
		// Keepalive is the WebSocket's own: sockets sends pings.
	})
	server.AddTransport(transport.GET{})
	server.AddTransport(transport.POST{})
	server.SetErrorPresenter(resolvers.PresentError)
	server.SetRecoverFunc(resolvers.Recover)
	server.SetParserTokenLimit(maxTokens)
	server.SetQueryCache(lru.New[*ast.QueryDocument](cachedQueries))
	server.Use(extension.Introspection{})
	server.Use(extension.FixedComplexityLimit(maxComplexity))
	server.AroundOperations(requireWebSocket)
	server.AroundOperations(metrics.count)
	return sockets.own(http.MaxBytesHandler(server, maxBody))
}

type socketKey struct{}

// acceptInit marks the context of operations that come over a WebSocket.
func acceptInit(ctx context.Context, _ transport.InitPayload) (context.Context, *transport.InitPayload, error) {
	return context.WithValue(ctx, socketKey{}, true), nil, nil
}

// requireWebSocket refuses subscriptions over plain HTTP, where they would end after their first event.
func requireWebSocket(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
	if graphql.GetOperationContext(ctx).Operation.Operation != ast.Subscription || ctx.Value(socketKey{}) != nil {
		return next(ctx)
	}
	err := usererr.New(usererr.BadInput, "subscriptions need a WebSocket with the subprotocol graphql-transport-ws")
	return graphql.OneShot(&graphql.Response{Errors: gqlerror.List{resolvers.PresentError(ctx, err)}})
}
