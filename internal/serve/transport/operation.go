// Package transport is what GraphQL over HTTP and over WebSockets have in common: which clients are admitted and how they
// are drained ([Clients]), how a subscription ends with an error ([AddSubscriptionError]), and what a client sees of a
// panic ([PresentPanic]).
package transport

import (
	"context"
	"sync"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// An Operation is one that a transport runs.
type Operation interface {
	// AddError keeps an error with which the operation is to end. It reports false if the operation cannot end with one.
	AddError(*gqlerror.Error) bool
}

type operationKey struct{}

// WithOperation returns a context for the resolvers of o.
func WithOperation(ctx context.Context, o Operation) context.Context {
	return context.WithValue(ctx, operationKey{}, o)
}

// OperationOf returns the Operation that ctx belongs to; nil if a transport of another kind runs it.
func OperationOf(ctx context.Context) Operation {
	o, _ := ctx.Value(operationKey{}).(Operation)
	return o
}

// AddSubscriptionError makes a subscription end with err, once its channel is closed; call it before that. ctx is the
// resolver's or one made from it. It reports false, and does nothing, if ctx is not one of such a subscription.
//
// It does what gqlgen's transport.AddSubscriptionError does for gqlgen's own WebSockets.
func AddSubscriptionError(ctx context.Context, err *gqlerror.Error) bool {
	o := OperationOf(ctx)
	return o != nil && o.AddError(err)
}

// SubscriptionErrors are those with which a subscription ends. The zero value has none.
type SubscriptionErrors struct {
	mu   sync.Mutex
	list gqlerror.List
}

// AddError implements Operation.
func (e *SubscriptionErrors) AddError(err *gqlerror.Error) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, err)
	return true
}

// Errors returns those that have been added.
func (e *SubscriptionErrors) Errors() gqlerror.List {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.list
}

// PresentPanic returns the error that clients see instead of a panic, as gqlgen's RecoverFunc words it; nil if that has
// nothing to say, or panics itself.
func PresentPanic(ctx context.Context, executor graphql.GraphExecutor, panicked any) (presented *gqlerror.Error) {
	defer func() {
		if recover() != nil {
			presented = nil
		}
	}()
	presenter, ok := executor.(interface {
		PresentRecoveredError(context.Context, any) error
	})
	if !ok {
		return nil
	}
	presented, _ = presenter.PresentRecoveredError(ctx, panicked).(*gqlerror.Error)
	return presented
}
