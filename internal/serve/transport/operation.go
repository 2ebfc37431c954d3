// Package transport is what GraphQL over HTTP and over WebSockets have in common: how many clients there may be and how
// they are drained ([Clients]), how a subscription ends with an error ([AddSubscriptionError]), what a client sees of a
// panic ([PresentPanic]), and how text is made fit for clients ([EncodeErrors], [ValidUTF8]).
package transport

import (
	"context"
	"sync"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// An Operation is what a transport runs.
type Operation interface {
	// AddError adds an error that the operation will end with. It reports false if the operation cannot end with errors.
	AddError(*gqlerror.Error) bool
}

// StatDocument is the key, in the Stats of an operation, of its document's trusted.Trust, for the Observer's metrics.
const StatDocument = "Document"

type operationKey struct{}

// WithOperation returns a context for the resolvers of o.
func WithOperation(ctx context.Context, o Operation) context.Context {
	return context.WithValue(ctx, operationKey{}, o)
}

// OperationOf returns the Operation of ctx, which WithOperation has stored. It is nil for other transports.
func OperationOf(ctx context.Context) Operation {
	o, _ := ctx.Value(operationKey{}).(Operation)
	return o
}

// AddSubscriptionError makes a subscription end with err when its channel is closed. Call it before that, with the
// resolver's context or one made from it. It reports false, and does nothing, for other contexts.
//
// It is what gqlgen's transport.AddSubscriptionError is for gqlgen's own WebSockets.
func AddSubscriptionError(ctx context.Context, err *gqlerror.Error) bool {
	o := OperationOf(ctx)
	return o != nil && o.AddError(err)
}

// SubscriptionErrors are the errors that a subscription ends with. The zero value has none.
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

// Errors returns the errors that AddError has added.
func (e *SubscriptionErrors) Errors() gqlerror.List {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.list
}

// PresentPanic returns the error that clients see instead of a panic. The executor's RecoverFunc makes it. PresentPanic
// returns nil if that makes no error for clients, or panics itself.
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
