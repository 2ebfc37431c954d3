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

// pushed is a subscription with a [Source]. It takes turns, one at a time, in which a worker of the [runner] sends
// what the source has. All calls of the source but the one of Start are made in them.
type pushed struct {
	operation *operation
	source    Source
	runner    *runner // of the transport
	state     atomic.Int32
	next      *pushed // in the list that it is in, if it is in one
}

// The states of a pushed.
const (
	idle    = iota // until it is ready
	waiting        // for its turn
	running        // has its turn
	again          // has its turn, and gets another one
	parked         // until the peer has taken what it has been sent; guarded by connection.mu
	ended
)

// push makes s the source of the operation's results, and leaves them to the runner. errs is what has come of starting
// the operation.
func (o *operation) push(ctx context.Context, s Source, errs gqlerror.List) {
	c, p := o.connection, &pushed{operation: o, source: s, runner: &o.connection.transport.runner}
	p.state.Store(running)
	o.memory.Close()
	o.memory = nil
	c.transport.options.Memory.Give(c.address, budget.Operations, operationMemory-sourceMemory)
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

// close is the last of it.
func (p *pushed) close() {
	p.state.Store(ended)
	c := p.operation.connection
	defer c.transport.options.Observer.OperationEnded()
	defer c.transport.options.Memory.Give(c.address, budget.Operations, sourceMemory)
	var errs gqlerror.List // which nobody is left to be told
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
			return // it has a turn after this, or none any more
		}
	}
}

// await gives a subscription another turn that has one, or is parked.
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
	case sentNothing: // and it may be the turn of p again already
	}
}

// sent is what a turn has come to.
type sent int

const (
	sentAll     sent = iota // that there is for now
	sentShare               // of what there is
	sentLast                // or nothing more is wanted
	sentNothing             // because the peer does not keep up: it is parked
)

// turnShare is how many bytes a subscription sends before others have their turns. A single result may be longer.
const turnShare = 16 << 10

// send queues what the source has, and flushes.
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
				return appendNext(b, o.id, response.Data, rest)
			})
		}
	}
	if o.stopped {
		o.end(nil)
		return sentLast
	}
	return sentShare
}

// result returns the next result, if there is one, or with more being false the errors with which the subscription
// ends.
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

// presentError returns what a source's error is for clients.
func (o *operation) presentError(err error) gqlerror.List {
	if errs, ok := errors.AsType[gqlerror.List](err); ok && len(errs) > 0 {
		return errs
	}
	if err, ok := errors.AsType[*gqlerror.Error](err); ok && err != nil {
		return gqlerror.List{err}
	}
	return gqlerror.List{presentPanic(o.connection.values, o.connection.executor, err)}
}

// park makes p wait until the peer keeps up. c.mu is held.
func (c *connection) park(p *pushed) {
	p.state.Store(parked)
	c.parked.push(p)
}

// unpark gives those that wait for the peer their turns. c.mu is held.
func (c *connection) unpark() {
	for p := c.parked.pop(); p != nil; p = c.parked.pop() {
		p.await()
	}
}
