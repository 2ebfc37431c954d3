package graphqlws

import (
	"context"

	"github.com/99designs/gqlgen/graphql"

	"pullwatch/internal/serve/transport"
)

// A Source returns the results of a subscription without a goroutine that waits for them. While a subscription waits, its
// Source is all that it keeps in memory: see [Push].
//
// Goroutines that serve all connections of a [Transport] call its methods. So the methods must not wait. A panic in one of
// them ends the subscription with an error, like one in a resolver.
type Source interface {
	// Start is called once, before Next. The Source calls ready when Next may have a new result. Next is called once after
	// Start without that. ready does not block. Any goroutine may call it, also while it holds locks that Next takes, and
	// while Start or Next runs. After Close it does nothing.
	Start(ready func())
	// Next returns the next result. It returns nil and nil if there is none now, and nil and [io.EOF] if there will be no
	// more, which ends the subscription with complete. A [gqlerror.List] or a [*gqlerror.Error] ends the subscription with
	// these errors. One goroutine at a time calls it, until it returns nil and nil.
	//
	// Next is not called while the client does not take what was sent to it. So if a new result replaces an older one in
	// the Source, slow clients get fewer results, and never old ones.
	//
	// A result is read until the next call of Next or Close, and not changed: several sources may return the same one.
	Next() (*graphql.Response, error)
	// Close is called once, as the last method. If the subscription ends before it has started, Start is not called.
	Close()
}

// Push makes s the source of the results of ctx's operation. An operation middleware calls it before it returns. Its
// ResponseHandler, which may be nil, is then not called, and neither are response middlewares. ctx ends when s has
// started: of the operation, only s stays in memory.
//
// Push returns false, and does nothing with s, if ctx is not of an operation of this package, or if that has started or has
// a Source already. Otherwise s will be closed, whatever happens.
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
