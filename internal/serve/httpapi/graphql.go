package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"pullwatch/internal/budget"
	"pullwatch/internal/serve/executor"
	"pullwatch/internal/serve/graphqlhttp"
	"pullwatch/internal/serve/graphqlws"
	"pullwatch/internal/usererr"
)

// maxBody is how long the body of a request may be, in bytes. Variables may need that much. Documents have a lower limit of
// their own.
const maxBody = 1 << 20

// transports serve /graphql.
type transports struct {
	sockets  *graphqlws.Transport
	requests *graphqlhttp.Transport
}

func newTransports(o Options, operations *executor.Metrics) transports {
	pages := newOrigins(o)
	refuseUpgrade := func(w http.ResponseWriter, r *http.Request, status int, reason error) {
		refuseSocket(w, r, status, reason, pages)
	}
	return transports{
		sockets: graphqlws.New(graphqlws.Options{
			CheckOrigin: pages.allow, Refuse: refuseUpgrade, Caller: callerOf,
			InitTimeout: o.Limits.InitTimeout, WriteTimeout: o.Limits.WriteTimeout,
			PingInterval: o.Limits.PingInterval, PongWait: o.Limits.PongWait,
			MessageLimit: o.Limits.MaxMessage, MaxSubscriptions: o.Limits.MaxSubscriptions,
			MaxConnections: o.Limits.MaxConnections, MaxPerCaller: o.Limits.MaxConnectionsPerAddress,
			Memory:   o.Memory,
			Observer: newSocketMetrics(o.Metrics, o.Errors),
		}),
		requests: graphqlhttp.New(graphqlhttp.Options{
			CheckOrigin: pages.allow, OriginRefused: pages.refused, BodyLimit: maxBody, WriteTimeout: o.Limits.WriteTimeout,
			Caller: callerOf, Turns: o.Turns,
			Memory:     func(r *http.Request) *budget.Account { return requestMemory(o.Memory, r) },
			MaxStreams: o.Limits.MaxConnections, MaxStreamsPerCaller: o.Limits.MaxConnectionsPerAddress,
			Generation: o.Trusted.Generation,
			Observer:   newRequestMetrics(o, operations),
		}),
	}
}

// requestMemory returns the account of a request. The connection has taken memory for one usual request, but not for several
// at a time.
func requestMemory(memory *budget.Budget, r *http.Request) *budget.Account {
	if r.ProtoMajor > 1 {
		return memory.Open(callerOf(r), 0)
	}
	return memory.Open(callerOf(r), requestAllowance)
}

// serve returns the handler of /graphql, which executes operations with the given executor.
func (t transports) serve(operations graphql.GraphExecutor) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w = sendWhole(w, r)
		if t.sockets.Supports(r) {
			t.sockets.Do(w, r, operations)
			return
		}
		t.requests.Do(w, r, operations)
	})
}

// drain ends all WebSockets and streams, spread over at most the given time. It returns when all have ended.
func (t transports) drain(ctx context.Context, over time.Duration) error {
	var sockets, streams error
	var draining sync.WaitGroup
	draining.Go(func() { sockets = t.sockets.Drain(ctx, over) })
	draining.Go(func() { streams = t.requests.Drain(ctx, over) })
	draining.Wait()
	return errors.Join(sockets, streams)
}

// refuseSocket answers a request for a WebSocket that is refused.
func refuseSocket(w http.ResponseWriter, r *http.Request, status int, reason error, pages *origins) {
	code, message := usererr.BadInput, reason.Error()
	switch status {
	case http.StatusForbidden:
		code, message = usererr.Forbidden, pages.refused(r)
	case http.StatusTooManyRequests:
		code = usererr.LimitExceeded
	case http.StatusServiceUnavailable:
		code = usererr.Unavailable
	}
	refuse(w, status, code, message)
}

// refuse sends a response with a GraphQL error.
func refuse(w http.ResponseWriter, status int, code usererr.Code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// A client that is gone needs no response.
	_ = json.NewEncoder(w).Encode(struct { // a graphql.Response would say "data": null, as if the operation had been executed
		Errors gqlerror.List `json:"errors"`
	}{gqlerror.List{{Message: message, Extensions: map[string]any{"code": code}}}})
}
