// Package transporttest is what the tests of transports have in common: an executor of GraphQL that does what its queries
// say, a network without sockets, and functions that read and end streams.
package transporttest

import (
	"context"
	"encoding/json"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"pullwatch/internal/serve/transport"
)

// Script is the part of a graphql.GraphExecutor that all transports are tested with. A query is the name of what it does.
type Script struct {
	// Updates is what "updates" sends, one response for each value.
	Updates chan string
	// Ended has a value for each operation that lasts and has ended.
	Ended chan struct{}
}

// NewScript returns a Script for any number of tests' operations.
func NewScript() *Script {
	return &Script{Updates: make(chan string), Ended: make(chan struct{}, 1000)}
}

// DispatchError is a graphql.GraphExecutor's.
func (s *Script) DispatchError(_ context.Context, errs gqlerror.List) *graphql.Response {
	return &graphql.Response{Errors: errs}
}

// Data returns a response that has data and nothing else.
func Data(text string) *graphql.Response { return &graphql.Response{Data: json.RawMessage(text)} }

// Respond returns the responses to a query that Script knows, otherwise nil.
func (s *Script) Respond(o *graphql.OperationContext) graphql.ResponseHandler {
	switch o.RawQuery {
	case "{one}":
		return graphql.OneShot(Data(`{"one":1}`))
	case "echo":
		text, err := json.Marshal(map[string]any{"name": o.OperationName, "variables": o.Variables, "extensions": o.Extensions})
		if err != nil {
			panic(err)
		}
		return graphql.OneShot(Data(string(text)))
	case "field error":
		return graphql.OneShot(&graphql.Response{
			Data: json.RawMessage(`{"a":null}`), Errors: gqlerror.List{gqlerror.Errorf("oops")}, Extensions: map[string]any{"x": 1},
		})
	case "null":
		return graphql.OneShot(&graphql.Response{Data: json.RawMessage(`null`), Errors: gqlerror.List{gqlerror.Errorf("oops")}})
	case "latin1":
		return graphql.OneShot(Data("{\"a\":\"\xe9\"}"))
	case "panic":
		return func(context.Context) *graphql.Response { panic("secret") }
	case "three, then error":
		n := 0
		return func(ctx context.Context) *graphql.Response {
			if n++; n <= 3 {
				return Data(`{"n":1}`)
			}
			if !transport.AddSubscriptionError(ctx, gqlerror.Errorf("lost")) {
				panic("not an operation's context")
			}
			return nil
		}
	case "updates":
		return func(ctx context.Context) *graphql.Response {
			select {
			case text, ok := <-s.Updates:
				if ok {
					return Data(text)
				}
			case <-ctx.Done():
			}
			s.Ended <- struct{}{}
			return nil
		}
	}
	return nil
}
