// Package httpapi is what pullwatch serves over HTTP: the GraphQL endpoint, the page, health and metrics.
package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/extension"
	"github.com/99designs/gqlgen/graphql/handler/lru"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"pullwatch/graphqlws"
	"pullwatch/resolvers"
	"pullwatch/usererr"
)

// Limits of a request.
const (
	maxBody       = 1 << 20
	maxTokens     = 10_000
	cachedQueries = 1_000
)

// newGraphQL returns the handler of /graphql.
func newGraphQL(schema graphql.ExecutableSchema, sockets *graphqlws.Transport, metrics *operationMetrics) http.Handler {
	server := handler.New(schema)
	server.AddTransport(sockets)
	server.AddTransport(getQueries{})
	server.AddTransport(transport.POST{})
	server.SetErrorPresenter(resolvers.PresentError)
	server.SetRecoverFunc(resolvers.Recover)
	server.SetParserTokenLimit(maxTokens)
	server.SetQueryCache(lru.New[*ast.QueryDocument](cachedQueries))
	server.Use(extension.Introspection{})
	server.Use(extension.FixedComplexityLimit(resolvers.MaxComplexity))
	server.AroundOperations(checkSubscription)
	server.AroundOperations(metrics.count)
	server.AroundResponses(resolvers.TellStale)
	return requireTransport(http.MaxBytesHandler(server, maxBody))
}

// checkSubscription refuses subscriptions over plain HTTP, where they would end after their first event, and those with more
// than one field.
func checkSubscription(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
	operation := graphql.GetOperationContext(ctx)
	if operation.Operation.Operation != ast.Subscription {
		return next(ctx)
	}
	var err error
	switch {
	case ctx.Value(socketKey{}) == nil:
		err = usererr.New(usererr.BadInput, "subscriptions need a WebSocket with the subprotocol graphql-transport-ws")
	case len(graphql.CollectFields(operation, operation.Operation.SelectionSet, []string{"Subscription"})) != 1:
		err = usererr.New(usererr.BadInput, "a subscription has exactly one field; open one for each")
	default:
		return next(ctx)
	}
	return graphql.OneShot(&graphql.Response{Errors: gqlerror.List{resolvers.PresentError(ctx, err)}})
}

// getQueries is gqlgen's transport for GET, with errors that have a code.
type getQueries struct{ transport.GET }

func (g getQueries) Do(w http.ResponseWriter, r *http.Request, exec graphql.GraphExecutor) {
	parameters, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		refuse(w, http.StatusBadRequest, usererr.BadInput, err.Error())
		return
	}
	for _, name := range []string{"variables", "extensions"} {
		var object map[string]any
		if text := parameters.Get(name); text != "" && json.Unmarshal([]byte(text), &object) != nil {
			refuse(w, http.StatusBadRequest, usererr.BadInput, name+" is not a JSON object")
			return
		}
	}
	g.GET.Do(w, r, queryExecutor{exec})
}

type queryExecutor struct{ graphql.GraphExecutor }

func (e queryExecutor) CreateOperationContext(ctx context.Context, params *graphql.RawParams) (*graphql.OperationContext, gqlerror.List) {
	operation, errs := e.GraphExecutor.CreateOperationContext(ctx, params)
	if errs == nil && operation.Operation.Operation != ast.Query {
		errs = gqlerror.List{gqlerror.Errorf("a GET request can only query: send a %s by POST or over a WebSocket", operation.Operation.Operation)}
	}
	return operation, errs
}

// requireTransport answers the requests that no transport of gqlgen's takes. Among them are all that a page of another
// origin can send without being asked: those carry no JSON content type.
func requireTransport(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
		switch {
		case r.ContentLength > maxBody:
			refuse(w, http.StatusRequestEntityTooLarge, usererr.LimitExceeded, fmt.Sprintf("the request has %d bytes; it may have %d", r.ContentLength, maxBody))
		case r.Header.Get("Upgrade") != "", r.Method == http.MethodGet, r.Method == http.MethodPost && kind == "application/json":
			next.ServeHTTP(w, r)
		case r.Method == http.MethodPost:
			refuse(w, http.StatusUnsupportedMediaType, usererr.BadInput, "send the request as JSON with Content-Type: application/json")
		default:
			w.Header().Set("Allow", "GET, POST")
			refuse(w, http.StatusMethodNotAllowed, usererr.BadInput, "send queries by GET or POST, mutations by POST, subscriptions over a WebSocket")
		}
	})
}

// refuse answers with a GraphQL error.
func refuse(w http.ResponseWriter, status int, code usererr.Code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// A client that is gone needs no answer.
	_ = json.NewEncoder(w).Encode(graphql.Response{Errors: gqlerror.List{{Message: message, Extensions: map[string]any{"code": code}}}})
}
