// Package render executes an operation once for all clients that send the same, and sends all of them the same bytes.
//
// It renders the response to a query of lists once for each generation of the lists, and an update of a pull once for each
// state of the pull. Operations are the same if their document, name and variables are. Of a subscription only the
// variables count that its results depend on, so that clients which follow different pulls share updates. To render an
// operation, gqlgen executes it as usual: this package does not know the schema's types. Other operations are not cached.
//
// A batch of log lines goes to one client only, and there are many. Here gqlgen is not used, because it does a lot for each
// field of each line. Instead, a plan of the fields that the operation selects writes the same bytes.
//
// The caches are bounded in bytes. All that is in them can be rendered again.
package render

import (
	"context"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"pullwatch/cache"
	"pullwatch/internal/serve/lru"
	"pullwatch/internal/turns"
)

// Lists are the lists that queries read. They return a list that is in memory even if ctx has ended.
type Lists interface {
	Active(context.Context) (cache.Result, error)
	Failed(ctx context.Context, limit int) (cache.Result, error)
}

// Options are what a Renderer works with. All are required.
type Options struct {
	// MaxKept bounds three things, in bytes: cached responses, cached updates, and the documents of open subscriptions to
	// updates.
	MaxKept int
	// Turns are for queries that take long.
	Turns *turns.Turns
	// Schema executes the operations. Its resolvers read lists with Active and Failed, and hand subscriptions over with
	// Updates and Logs.
	Schema graphql.ExecutableSchema
	// Lists are the lists that Schema's resolvers read.
	Lists Lists
	// PresentError and Recover are those of the server whose middleware the Renderer is.
	PresentError graphql.ErrorPresenterFunc
	Recover      graphql.RecoverFunc
	Metrics      *Metrics
}

// Renderer is an operation middleware that caches responses. Any number of goroutines may use it.
type Renderer struct {
	options   Options
	responses *lru.Cache[queryKey, *cachedQuery]
	updates   updates
}

// New returns a Renderer with empty caches.
func New(o Options) *Renderer {
	r := &Renderer{options: o, responses: lru.New[queryKey, *cachedQuery](o.MaxKept)}
	r.updates.cache = lru.New[updateKey, *update](o.MaxKept)
	r.updates.operations = map[identity]*sharedOperation{}
	r.updates.unused = o.MaxKept
	o.Metrics.observe(r)
	return r
}

// Operation is the operation middleware. It has to be the innermost one of the server.
func (r *Renderer) Operation(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
	switch graphql.GetOperationContext(ctx).Operation.Operation {
	case ast.Query:
		return r.query(ctx, next)
	case ast.Subscription:
		return r.subscription(ctx, next)
	default:
		return next(ctx)
	}
}
