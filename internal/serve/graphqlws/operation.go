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
	// query keeps one copy of the text for all operations that have the same text.
	query unique.Handle[string]
	// memory is the account of the operation. It is nil once the operation has a Source.
	memory *budget.Account

	// connection.mu guards the following three.

	cancel context.CancelFunc // nil when the context has ended
	pushed *pushed            // nil unless the operation has a Source
	// stopped means that nothing more is sent. Another operation may use the id.
	stopped bool

	mu      sync.Mutex
	started bool
	source  Source // from Push until the operation has started

	transport.SubscriptionErrors
}

// subscribe starts an operation.
func (c *connection) subscribe(id string, payload json.RawMessage) error {
	read := graphql.TraceTiming{Start: graphql.Now()}
	if !c.initialised { // only this goroutine changes it
		return &CloseError{CloseUnauthorized, "Unauthorized: an operation came before connection_ack"}
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
	switch i := c.find(o.id); {
	case i < 0:
	case c.protocol.legacy: // its servers end the operation that has the id
		c.stopLocked(i)
	default:
		return &CloseError{CloseSubscriberAlreadyExists, fmt.Sprintf("Subscriber for %s already exists", id)}
	}
	if c.ending {
		return nil
	}
	if err != nil {
		c.refuse(o.id, err)
		return nil
	}
	// An operation that the client has completed does not count, although it may take a moment to end. The second limit is
	// for clients that start and complete operations faster than they end.
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

// What an operation takes by itself, in bytes.
const (
	// operationMemory is for one that starts, or runs in a goroutine. It includes operationAllowance, which is for its
	// variables and results.
	operationMemory    = 8 << 10
	operationAllowance = 4 << 10
	// sourceMemory is for one that has a Source.
	sourceMemory = 4 << 10
)

// read takes memory for the operation and parses the payload of its subscribe message. Its errors are parseSubscribe's.
func (o *operation) read(payload json.RawMessage) (*graphql.RawParams, error) {
	memory := o.connection.transport.options.Memory
	if err := memory.Take(o.connection.caller, budget.Operations, operationMemory); err != nil {
		return nil, err
	}
	o.memory = memory.Open(o.connection.caller, operationAllowance)
	return parseSubscribe(payload, o.memory)
}

// giveMemory gives back the memory of an operation without a Source.
func (o *operation) giveMemory() {
	if o.memory == nil {
		return
	}
	o.memory.Close()
	o.memory = nil
	o.connection.transport.options.Memory.Give(o.connection.caller, budget.Operations, operationMemory)
}

// refuse answers a subscribe message with an error. c.mu is held.
func (c *connection) refuse(id string, reason error) {
	refused, code := refusal(reason)
	c.transport.options.Observer.OperationRefused(code)
	payload := c.protocol.encodeErrors(gqlerror.List{refused})
	c.awaitSpace(context.Background())
	if c.ending {
		return
	}
	c.enqueue(websocket.TextMessage, func(b []byte) []byte { return appendMessage(b, "error", id, payload) })
	c.flush()
}

// refusal returns the error that a client gets when a limit or the budget refuses its operation, and the error's code.
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

// run executes the operation and sends its results. If the operation has a [Source], the [runner] sends them. The functions
// in which run waits have small frames: see [connection.serve].
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

// start returns the handler of the operation's results, or the errors that the operation ends with.
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

// takeSource returns the Source that [Push] has set, or nil. After that Push returns false.
func (o *operation) takeSource() Source {
	o.mu.Lock()
	defer o.mu.Unlock()
	source := o.source
	o.started, o.source = true, nil
	return source
}

// step waits for one result and sends it. It returns the errors that the operation ends with, and whether there may be more
// results.
func (o *operation) step(ctx context.Context, responses graphql.ResponseHandler) (errs gqlerror.List, more bool) {
	defer o.recover(ctx, &errs)
	response := responses(ctx)
	if response == nil {
		return o.Errors(), false
	}
	return o.sendNext(ctx, response)
}

// recover turns a panic into the error that the operation ends with.
func (o *operation) recover(ctx context.Context, errs *gqlerror.List) {
	if panicked := recover(); panicked != nil {
		*errs = gqlerror.List{presentPanic(ctx, o.connection.executor, panicked)}
	}
}

// sendNext waits for space in the queue and sends a result, unless the operation has been stopped. It returns what step
// does.
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
	c.enqueue(websocket.TextMessage, func(b []byte) []byte { return appendResult(b, c.protocol.result, o.id, r.Data, rest) })
	c.flush()
	return nil, true
}

// finish ends the operation with a last message, unless it has been stopped. Then its id is free.
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
		kind, payload = "error", c.protocol.encodeErrors(errs)
	}
	c.enqueue(websocket.TextMessage, func(b []byte) []byte { return appendMessage(b, kind, o.id, payload) })
}

// stop ends the operation without another message. connection.mu is held.
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
