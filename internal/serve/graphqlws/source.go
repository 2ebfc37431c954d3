package graphqlws

import (
	"context"

	"github.com/99designs/gqlgen/graphql"

	"pullwatch/internal/serve/transport"
)

// A Source has the results of a subscription, for those who can say when there is one without a goroutine that waits
// for it. What it keeps while there is none is all that such a subscription costs: see [Push].
//
// Its methods are called by goroutines that serve all connections of a [Transport], so they compute and do not wait. A
// panic in one of them ends the subscription with an error, like one in a resolver.
type Source interface {
	// Start is called once, before Next. ready is to be called whenever Next may have more than it had when it was
	// called last; Next is called once after Start without that. ready costs little and does not block. It may be
	// called by any goroutine, with locks held that Next takes, while Start or Next runs, and after Close, when it does
	// nothing.
	Start(ready func())
	// Next returns the next result: nil and nil if there is none now, nil and [io.EOF] if there will be none, which
	// ends the subscription with complete, or the errors to end it with, a [gqlerror.List] or a [*gqlerror.Error]. It
	// is called by one goroutine at a time, again and again until there is none.
	//
	// It is not called while the peer does not take what it has been sent, so a Source in which a result takes the
	// place of an older one gives slow peers fewer results, and never old ones.
	//
	// A result is read until the next call of Next or Close, and not changed: several sources may return the same one.
	Next() (*graphql.Response, error)
	// Close is called once, after everything else, when no more results are wanted or Next has ended the subscription.
	// If the subscription ends before it has started, Start is not called.
	Close()
}

// Push makes the operation that ctx belongs to take its results from s. It is for an operation middleware, which calls
// it before it returns; the ResponseHandler that it returns is then not called, and may be nil, nor are response
// middlewares. ctx ends when s has started: nothing of the operation is kept but s.
//
// Push returns false, and does nothing with s, if ctx is not one of an operation of this package that is about to
// start, or if that has a Source already. Otherwise s is closed in the end, whatever happens.
func Push(ctx context.Context, s Source) bool {
	o, ok := transport.OperationOf(ctx).(*operation)
	if !ok {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.started || o.source != nil {
		return false
	}
	o.source = s
	return true
}
