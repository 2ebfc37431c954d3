// Package render executes what many clients ask alike once, and answers all of them with the same bytes.
//
// A response that holds lists is made once for each distinct operation and each generation of the lists, and an update
// of a pull once for each distinct operation and each state of the pull. What is distinct is told by the document, the
// operation's name and the variables; of a subscription only those variables count that its results depend on, so that
// clients which follow different pulls share what is rendered. To make them, gqlgen executes the operation as it always
// would: nothing there knows the schema's types. Everything else passes through, but for logs.
//
// A batch of log lines goes to one client only, and there are many. What is spared there is what gqlgen does for each
// field of each line: a plan of what the operation selects writes the same bytes.
//
// What is kept is bounded in bytes. All of it can be made again.
package render

import (
	"context"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"pullwatch/cache"
	"pullwatch/internal/serve/lru"
	"pullwatch/internal/turns"
)

// Lists is what list queries read. What takes no waiting is returned even if ctx has ended.
type Lists interface {
	Active(context.Context) (cache.Result, error)
	Failed(ctx context.Context, limit int) (cache.Result, error)
}

// Options are what a Renderer works with. All are required.
type Options struct {
	// MaxKept is how many bytes of responses are kept, and how many of updates. Subscriptions to updates may have
	// different documents of as many bytes in memory at a time.
	MaxKept int
	// Turns are those of queries that take long.
	Turns *turns.Turns
	// Schema executes the operations. Its resolvers read lists with Active and Failed and hand subscriptions over with
	// Updates and Logs.
	Schema graphql.ExecutableSchema
	// Lists are what Schema's resolvers read.
	Lists Lists
	// PresentError and Recover are those of the server that the Renderer is a middleware of.
	PresentError graphql.ErrorPresenterFunc
	Recover      graphql.RecoverFunc
	Metrics      *Metrics
}

// Renderer answers operations with what was rendered before. It is for any number of goroutines.
type Renderer struct {
	options   Options
	responses *lru.Cache[queryKey, *cachedQuery]
	updates   updates
}

// New returns a Renderer that has rendered nothing yet.
func New(o Options) *Renderer {
	r := &Renderer{options: o, responses: lru.New[queryKey, *cachedQuery](o.MaxKept)}
	r.updates.kept = lru.New[updateKey, *update](o.MaxKept)
	r.updates.operations = map[identity]*sharedOperation{}
	r.updates.room = o.MaxKept
	o.Metrics.observe(r)
	return r
}

// Operation is the operation middleware, the innermost one of the server.
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
