package graphqlws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"unique"

	"github.com/99designs/gqlgen/graphql"
	"github.com/gorilla/websocket"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"pullwatch/internal/budget"
	"pullwatch/internal/serve/transport"
	"pullwatch/internal/usererr"
)

// operation is a query, a mutation or a subscription that runs on a connection.
type operation struct {
	connection *connection
	id         string // as JSON
	// query keeps the text of the query shared with all operations of the same text.
	query unique.Handle[string]
	// memory counts what the operation takes; nil once it has a Source.
	memory *budget.Account

	// The following are guarded by connection.mu.

	cancel context.CancelFunc // nil when the context has ended
	pushed *pushed            // nil unless the operation has a Source
	// stopped means that nothing more is sent, and that the id may be another operation's.
	stopped bool

	mu      sync.Mutex
	started bool
	source  Source // until it has started

	transport.SubscriptionErrors
}

// subscribe starts an operation.
func (c *connection) subscribe(id string, payload json.RawMessage) error {
	read := graphql.TraceTiming{Start: graphql.Now()}
	if !c.initialised { // which changes in this goroutine only
		return &CloseError{CloseUnauthorized, "Unauthorized: subscribe came before connection_ack"}
	}
	o := &operation{connection: c, id: quote(id)}
	params, err := o.read(payload)
	accepted := false
	defer func() {
		if !accepted {
			o.giveMemory()
		}
	}()
	if _, refused := errors.AsType[*CloseError](err); refused {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.find(o.id) >= 0 {
		return &CloseError{CloseSubscriberAlreadyExists, fmt.Sprintf("Subscriber for %s already exists", id)}
	}
	if c.ending {
		return nil
	}
	if err != nil {
		c.refuse(o.id, err)
		return nil
	}
	// Those that the client has completed do not count, though they may take a moment to end; but a client that starts
	// and completes on and on must not pile them up.
	if limit := c.transport.options.MaxSubscriptions; len(c.operations) >= limit || c.running >= 2*limit {
		c.refuse(o.id, fmt.Errorf("this connection runs %d operations already; complete one first", limit))
		return nil
	}
	accepted = true
	o.query = unique.Make(params.Query)
	params.Query = o.query.Value()
	read.End = graphql.Now()
	params.ReadTime = read
	var ctx context.Context
	ctx, o.cancel = context.WithCancel(budget.With(c.values, o.memory))
	c.operations = append(c.operations, o)
	c.running++
	c.transport.options.Observer.OperationStarted()
	c.goroutines.Go(func() { o.run(ctx, params) })
	return nil
}

// What an operation takes by itself, in bytes: while it starts or runs in a goroutine, and when it has a Source. The first
// includes operationAllowance for its variables and its results.
const (
	operationMemory    = 8 << 10
	operationAllowance = 4 << 10
	sourceMemory       = 4 << 10
)

// read takes memory for the operation and reads the payload of its subscribe message. An error that is no [CloseError]
// refuses the operation only.
func (o *operation) read(payload json.RawMessage) (*graphql.RawParams, error) {
	memory := o.connection.transport.options.Memory
	if err := memory.Take(o.connection.address, budget.Operations, operationMemory); err != nil {
		return nil, err
	}
	o.memory = memory.Open(o.connection.address, operationAllowance)
	return parseSubscribe(payload, o.memory)
}

// giveMemory gives back all that an operation has taken that has no Source.
func (o *operation) giveMemory() {
	if o.memory == nil {
		return
	}
	o.memory.Close()
	o.memory = nil
	o.connection.transport.options.Memory.Give(o.connection.address, budget.Operations, operationMemory)
}

// refuse answers a subscribe for which there is no room because of err. c.mu is held.
func (c *connection) refuse(id string, reason error) {
	refused, code := refusal(reason)
	c.transport.options.Observer.OperationRefused(code)
	payload := transport.EncodeErrors(gqlerror.List{refused})
	c.awaitSpace(context.Background())
	if c.ending {
		return
	}
	c.enqueue(websocket.TextMessage, func(b []byte) []byte { return appendMessage(b, "error", id, payload) })
	c.flush()
}

// refusal is what the client is told when there is no room because of err, and its code.
func refusal(err error) (refused *gqlerror.Error, code usererr.Code) {
	code = usererr.LimitExceeded
	if usererr.CodeOf(err) == usererr.Unavailable { // the budget's
		code = usererr.Unavailable
	}
	return &gqlerror.Error{Message: err.Error(), Extensions: map[string]any{"code": code}}, code
}

// quote returns id as JSON.
func quote(id string) string {
	quoted, err := json.Marshal(id)
	if err != nil {
		panic(err) // a string can always be encoded
	}
	return string(quoted)
}

// run executes the operation and sends its results, or leaves that to the [runner] if it has a [Source]. What it waits
// in has small frames; see [connection.serve].
func (o *operation) run(ctx context.Context, params *graphql.RawParams) {
	responses, operationCtx, errs := o.start(ctx, params)
	if source := o.takeSource(); source != nil {
		o.push(ctx, source, errs)
		return
	}
	for errs == nil {
		var more bool
		if errs, more = o.step(operationCtx, responses); !more {
			break
		}
	}
	o.finish(ctx, errs)
	o.giveMemory()
	o.connection.transport.options.Observer.OperationEnded()
}

// start returns the operation's results, or the errors with which it ends.
func (o *operation) start(ctx context.Context, params *graphql.RawParams) (
	_ graphql.ResponseHandler, _ context.Context, errs gqlerror.List,
) {
	executor := o.connection.executor
	ctx = graphql.StartOperationTrace(transport.WithOperation(ctx, o))
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

// takeSource returns what the operation has been given with [Push], and takes no more.
func (o *operation) takeSource() Source {
	o.mu.Lock()
	defer o.mu.Unlock()
	source := o.source
	o.started, o.source = true, nil
	return source
}

// step waits for one result and sends it. It returns the errors with which the operation ends, if any, and whether
// there may be more results.
func (o *operation) step(ctx context.Context, responses graphql.ResponseHandler) (errs gqlerror.List, more bool) {
	defer o.recover(ctx, &errs)
	response := responses(ctx)
	if response == nil {
		return o.Errors(), false
	}
	return o.sendNext(ctx, response)
}

// recover turns a panic into the error with which the operation ends.
func (o *operation) recover(ctx context.Context, errs *gqlerror.List) {
	if panicked := recover(); panicked != nil {
		*errs = gqlerror.List{presentPanic(ctx, o.connection.executor, panicked)}
	}
}

// sendNext sends a result unless the operation has been stopped. It waits until the connection takes it. What it
// returns is for step.
func (o *operation) sendNext(ctx context.Context, r *graphql.Response) (_ gqlerror.List, more bool) {
	rest, errs := encodeRest(r)
	if errs != nil {
		return errs, false
	}
	if err := o.memory.Set(budget.Responses, len(r.Data)); err != nil {
		refused, _ := refusal(err)
		return gqlerror.List{refused}, false
	}
	c := o.connection
	c.mu.Lock()
	defer c.mu.Unlock()
	c.awaitSpace(ctx)
	if o.stopped {
		return nil, false
	}
	c.enqueue(websocket.TextMessage, func(b []byte) []byte { return appendNext(b, o.id, r.Data, rest) })
	c.flush()
	return nil, true
}

// finish ends the operation with a last message, unless it has been stopped. The id is free from then on.
func (o *operation) finish(ctx context.Context, errs gqlerror.List) {
	c := o.connection
	c.mu.Lock()
	defer c.mu.Unlock()
	c.awaitSpace(ctx)
	o.end(errs)
	c.flush()
	o.cancel()
}

// end queues the last message, unless the operation has been stopped. connection.mu is held.
func (o *operation) end(errs gqlerror.List) {
	c := o.connection
	c.running--
	if o.stopped {
		return
	}
	o.stopped = true
	c.operations = slices.DeleteFunc(c.operations, func(other *operation) bool { return other == o })
	kind, payload := "complete", []byte(nil)
	if len(errs) > 0 {
		kind, payload = "error", transport.EncodeErrors(errs)
	}
	c.enqueue(websocket.TextMessage, func(b []byte) []byte { return appendMessage(b, kind, o.id, payload) })
}

// stop makes the operation end without another message. connection.mu is held.
func (o *operation) stop() {
	o.stopped = true
	if o.cancel != nil {
		o.cancel()
	}
	switch p := o.pushed; {
	case p == nil:
	case p.state.Load() == parked:
		o.connection.unpark()
	default:
		p.ready()
	}
}

// presentPanic returns the error that clients see instead of a panic.
func presentPanic(ctx context.Context, executor graphql.GraphExecutor, panicked any) *gqlerror.Error {
	if presented := transport.PresentPanic(ctx, executor, panicked); presented != nil {
		return presented
	}
	return gqlerror.Errorf("internal system error")
}
