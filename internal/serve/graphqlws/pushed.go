package graphqlws

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"unique"

	"github.com/99designs/gqlgen/graphql"
	"github.com/gorilla/websocket"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"pullwatch/internal/budget"
)

// pushed is a subscription with a [Source]. It has turns, one at a time. In a turn, a worker of the [runner] sends the results
// of the source. All methods of the source but Start are called in turns.
type pushed struct {
	operation *operation
	source    Source
	runner    *runner // of the transport
	state     atomic.Int32
	next      *pushed // in its list
}

// The states of a pushed.
const (
	idle    = iota // until the source is ready
	waiting        // for its turn
	running        // it has its turn
	again          // it has its turn, and will have another one
	parked         // until the client has taken what was sent to it; guarded by connection.mu
	ended
)

// push makes s the source of the operation's results, which the runner will send. errs are the errors of starting the
// operation.
func (o *operation) push(ctx context.Context, s Source, errs gqlerror.List) {
	c, p := o.connection, &pushed{operation: o, source: s, runner: &o.connection.transport.runner}
	p.state.Store(running)
	o.memory.Close()
	o.memory = nil
	c.transport.options.Memory.Give(c.caller, budget.Operations, operationMemory-sourceMemory)
	c.mu.Lock()
	o.pushed = p
	stopped := o.stopped
	c.mu.Unlock()
	if errs == nil && !stopped {
		errs = p.start(ctx)
	}
	if errs != nil {
		o.finish(ctx, errs)
		p.close()
		return
	}
	c.mu.Lock()
	o.cancel()
	o.cancel, o.query = nil, unique.Handle[string]{}
	c.mu.Unlock()
	c.goroutines.Add(1) // until it has ended
	p.await()
}

func (p *pushed) start(ctx context.Context) (errs gqlerror.List) {
	defer p.operation.recover(ctx, &errs)
	p.source.Start(p.ready)
	return nil
}

// close ends the subscription.
func (p *pushed) close() {
	p.state.Store(ended)
	c := p.operation.connection
	defer c.transport.options.Observer.OperationEnded()
	defer c.transport.options.Memory.Give(c.caller, budget.Operations, sourceMemory)
	var errs gqlerror.List // nobody is left to receive them
	defer p.operation.recover(c.values, &errs)
	p.source.Close()
}

// ready gives the subscription a turn.
func (p *pushed) ready() {
	for {
		switch p.state.Load() {
		case idle:
			if p.state.CompareAndSwap(idle, waiting) {
				p.runner.add(p)
				return
			}
		case running:
			if p.state.CompareAndSwap(running, again) {
				return
			}
		default:
			return // it will have a turn anyway, or has ended
		}
	}
}

// await lets a subscription that has a turn or is parked wait for another one.
func (p *pushed) await() {
	p.state.Store(waiting)
	p.runner.add(p)
}

func (p *pushed) turn() {
	p.state.Store(running)
	switch p.send() {
	case sentAll:
		if !p.state.CompareAndSwap(running, idle) {
			p.await()
		}
	case sentShare:
		p.await()
	case sentLast:
		p.close()
		p.operation.connection.goroutines.Done()
	case sentNothing: // another worker may already run the next turn of p
	}
}

// sent says how a turn ended.
type sent int

const (
	sentAll     sent = iota // all results that there are now
	sentShare               // turnShare: there may be more results
	sentLast                // the subscription has ended
	sentNothing             // the client does not keep up, so the subscription is parked
)

// turnShare is how many bytes a subscription sends in a turn. A single result may be longer.
const turnShare = 16 << 10

// send queues results of the source, and flushes.
func (p *pushed) send() sent {
	o, c := p.operation, p.operation.connection
	c.mu.Lock()
	defer c.mu.Unlock()
	if !o.stopped && (c.stalled || c.isFull()) {
		c.park(p)
		return sentNothing
	}
	defer c.flush()
	for bytes := 0; bytes < turnShare && !o.stopped; {
		c.mu.Unlock()
		response, rest, errs, more := p.result()
		c.mu.Lock()
		switch {
		case o.stopped:
		case !more:
			o.end(errs)
			return sentLast
		case response == nil:
			return sentAll
		default:
			bytes += c.enqueue(websocket.TextMessage, func(b []byte) []byte {
				return appendResult(b, c.protocol.result, o.id, response.Data, rest)
			})
		}
	}
	if o.stopped {
		o.end(nil)
		return sentLast
	}
	return sentShare
}

// result returns the next result, or nil if there is none now. If more is false, the subscription ends with errs.
func (p *pushed) result() (_ *graphql.Response, _ rest, errs gqlerror.List, more bool) {
	o := p.operation
	defer o.recover(o.connection.values, &errs)
	response, err := p.source.Next()
	switch {
	case err == io.EOF:
		return nil, rest{}, nil, false
	case err != nil:
		return nil, rest{}, o.presentError(err), false
	case response == nil:
		return nil, rest{}, nil, true
	}
	rest, errs := encodeRest(response)
	return response, rest, errs, errs == nil
}

// presentError returns what clients see of a source's error.
func (o *operation) presentError(err error) gqlerror.List {
	if errs, ok := errors.AsType[gqlerror.List](err); ok && len(errs) > 0 {
		return errs
	}
	if err, ok := errors.AsType[*gqlerror.Error](err); ok && err != nil {
		return gqlerror.List{err}
	}
	return gqlerror.List{presentPanic(o.connection.values, o.connection.executor, err)}
}

// park makes p wait until the client keeps up. c.mu is held.
func (c *connection) park(p *pushed) {
	p.state.Store(parked)
	c.parked.push(p)
}

// unpark lets all parked subscriptions wait for their turns. c.mu is held.
func (c *connection) unpark() {
	for p := c.parked.pop(); p != nil; p = c.parked.pop() {
		p.await()
	}
}
