package graphqlws

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"unique"

	"github.com/99designs/gqlgen/graphql"
	"github.com/gorilla/websocket"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// operation is a query, a mutation or a subscription that runs on a connection.
type operation struct {
	connection *connection
	id         string
	quoted     []byte // id as JSON
	cancel     context.CancelFunc
	// query keeps the text of the query shared with all operations of the same text.
	query unique.Handle[string]

	// stopped is guarded by connection.mu. Nothing more is sent then, and the id may be another operation's.
	stopped bool

	mu     sync.Mutex
	errors gqlerror.List
}

type operationKey struct{}

// AddSubscriptionError makes a subscription end with an error message instead of complete, once its channel is closed; call
// it before that. ctx is the resolver's or one made from it. It reports false, and does nothing, if ctx is not one of an
// operation of this package.
//
// It does what gqlgen's transport.AddSubscriptionError does for gqlgen's own WebSockets.
func AddSubscriptionError(ctx context.Context, err *gqlerror.Error) bool {
	o, ok := ctx.Value(operationKey{}).(*operation)
	if !ok {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.errors = append(o.errors, err)
	return true
}

// subscribe starts an operation.
func (c *connection) subscribe(id string, payload json.RawMessage) error {
	read := graphql.TraceTiming{Start: graphql.Now()}
	if !c.initialised { // which changes in this goroutine only
		return &CloseError{CloseUnauthorized, "Unauthorized: subscribe came before connection_ack"}
	}
	params, err := parseSubscribe(payload)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.find(id) >= 0 {
		return &CloseError{CloseSubscriberAlreadyExists, fmt.Sprintf("Subscriber for %s already exists", id)}
	}
	if c.ending {
		return nil
	}
	// Those that the client has completed do not count, though they may take a moment to end; but a client that starts and
	// completes on and on must not pile them up.
	if limit := c.transport.options.MaxSubscriptions; len(c.operations) >= limit || c.running >= 2*limit {
		c.refuse(id, limit)
		return nil
	}
	o := &operation{connection: c, id: id, quoted: quote(id), query: unique.Make(params.Query)}
	params.Query = o.query.Value()
	read.End = graphql.Now()
	params.ReadTime = read
	var ctx context.Context
	ctx, o.cancel = context.WithCancel(c.values)
	c.operations = append(c.operations, o)
	c.running++
	c.transport.options.Observer.OperationStarted()
	c.goroutines.Go(func() { o.run(ctx, params) })
	return nil
}

// refuse answers a subscribe that is one too many. c.mu is held.
func (c *connection) refuse(id string, limit int) {
	payload, err := json.Marshal(gqlerror.List{{
		Message:    fmt.Sprintf("this connection runs %d operations already; complete one first", limit),
		Extensions: map[string]any{"code": "LIMIT_EXCEEDED"},
	}})
	if err != nil {
		panic(err)
	}
	c.awaitSpace(context.Background())
	if c.ending {
		return
	}
	c.enqueue(websocket.TextMessage, func(b []byte) []byte { return appendMessage(b, "error", quote(id), payload) })
	c.flushLater()
}

// quote returns id as JSON.
func quote(id string) []byte {
	quoted, err := json.Marshal(id)
	if err != nil {
		panic(err) // a string can always be encoded
	}
	return quoted
}

// run executes the operation and sends its results. What it waits in has small frames; see [connection.serve].
func (o *operation) run(ctx context.Context, params *graphql.RawParams) {
	responses, ctx, errs := o.start(ctx, params)
	for errs == nil {
		var more bool
		if errs, more = o.step(ctx, responses); !more {
			break
		}
	}
	o.finish(ctx, errs)
}

// start returns the operation's results, or the errors with which it ends.
func (o *operation) start(ctx context.Context, params *graphql.RawParams) (
	_ graphql.ResponseHandler, _ context.Context, errs gqlerror.List,
) {
	executor := o.connection.executor
	ctx = graphql.StartOperationTrace(context.WithValue(ctx, operationKey{}, o))
	defer o.recover(ctx, &errs)
	operationContext, errs := executor.CreateOperationContext(ctx, params)
	ctx = graphql.WithOperationContext(ctx, operationContext)
	if len(errs) > 0 {
		if presented := executor.DispatchError(ctx, errs).Errors; len(presented) > 0 {
			errs = presented
		}
		return nil, ctx, errs
	}
	responses, ctx := executor.DispatchOperation(ctx, operationContext)
	return responses, ctx, nil
}

// step waits for one result and sends it. It returns the errors with which the operation ends, if any, and whether there
// may be more results.
func (o *operation) step(ctx context.Context, responses graphql.ResponseHandler) (errs gqlerror.List, more bool) {
	defer o.recover(ctx, &errs)
	response := responses(ctx)
	if response == nil {
		return o.subscriptionErrors(), false
	}
	return o.sendNext(ctx, response)
}

// recover turns a panic into the error with which the operation ends.
func (o *operation) recover(ctx context.Context, errs *gqlerror.List) {
	if panicked := recover(); panicked != nil {
		*errs = gqlerror.List{presentPanic(ctx, o.connection.executor, panicked)}
	}
}

func (o *operation) subscriptionErrors() gqlerror.List {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.errors
}

// sendNext sends a result unless the operation has been stopped. It waits until the connection takes it. What it returns is
// for step.
func (o *operation) sendNext(ctx context.Context, r *graphql.Response) (_ gqlerror.List, more bool) {
	// Without data, be it null, the request has failed before anything was executed.
	if len(r.Data) == 0 && len(r.Errors) > 0 {
		return r.Errors, false
	}
	rest, err := encodeRest(r)
	if err != nil {
		return gqlerror.List{gqlerror.Errorf("the response cannot be encoded")}, false
	}
	c := o.connection
	c.mu.Lock()
	c.awaitSpace(ctx)
	if o.stopped {
		c.mu.Unlock()
		return nil, false
	}
	c.enqueue(websocket.TextMessage, func(b []byte) []byte { return appendNext(b, o.quoted, r.Data, rest) })
	c.mu.Unlock()
	c.flush()
	return nil, true
}

// finish ends the operation with a last message, unless it has been stopped. The id is free from then on.
func (o *operation) finish(ctx context.Context, errs gqlerror.List) {
	defer o.connection.transport.options.Observer.OperationEnded()
	defer o.cancel()
	kind, payload := "complete", []byte(nil)
	if len(errs) > 0 {
		kind = "error"
		var err error
		if payload, err = json.Marshal(errs); err != nil {
			payload = []byte(`[{"message":"the errors cannot be encoded"}]`)
		}
	}
	c := o.connection
	c.mu.Lock()
	defer c.mu.Unlock()
	c.awaitSpace(ctx)
	c.running--
	if o.stopped {
		return
	}
	o.stopped = true
	c.operations = slices.DeleteFunc(c.operations, func(other *operation) bool { return other == o })
	c.enqueue(websocket.TextMessage, func(b []byte) []byte { return appendMessage(b, kind, o.quoted, payload) })
	c.flushLater()
}

// stop makes the operation end without another message. connection.mu is held.
func (o *operation) stop() {
	o.stopped = true
	o.cancel()
}

// presentPanic returns the error that clients see instead of a panic, which gqlgen's RecoverFunc has been told.
func presentPanic(ctx context.Context, executor graphql.GraphExecutor, panicked any) *gqlerror.Error {
	presenter, ok := executor.(interface {
		PresentRecoveredError(context.Context, any) error
	})
	if ok {
		if err, ok := presenter.PresentRecoveredError(ctx, panicked).(*gqlerror.Error); ok && err != nil {
			return err
		}
	}
	return gqlerror.Errorf("internal system error")
}
