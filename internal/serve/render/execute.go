package render

import (
	"context"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"pullwatch/internal/budget"
)

// StatCost is the key of the [Cost] in the Stats of an operation.
const StatCost = "Cost"

// Cost is what an operation takes, as estimated before it is executed.
type Cost struct {
	// Complexity is about how many fields the response has.
	Complexity int
	// Document is how many bytes of memory the parsed document takes.
	Document int
}

// costOf returns the Cost of an operation. It is zero if none is in its Stats.
func costOf(o *graphql.OperationContext) Cost {
	cost, _ := o.Stats.GetExtension(StatCost).(Cost)
	return cost
}

const (
	// longComplexity is the complexity from which an operation takes milliseconds. Shorter operations take no turns and no
	// memory from the budget: they end before many of them have begun.
	longComplexity = 5_000
	// bytesPerField is about what an execution has in use for each field of its response. It allocates 700 to 1,700.
	bytesPerField = 400
)

// awaitTurn waits for the turn of the query's caller, if executing the query for v takes long. Call end after that. The
// error is ctx's.
func (r *Renderer) awaitTurn(ctx context.Context, c *cachedQuery, v *view) (end func(), err error) {
	cost := costOf(graphql.GetOperationContext(ctx)).Complexity
	if states := v.active.result.States; c.reads.activeList != "" && len(states) > 0 {
		cost = cost * len(c.lastPieces().changed(states)) / len(states)
	}
	if cost < longComplexity {
		return func() {}, nil
	}
	return r.options.Turns.Take(ctx, budget.From(ctx).Caller())
}

// execute executes a query, or only parts of all its parts. It takes memory for that. The error says that there is none.
func (r *Renderer) execute(ctx context.Context, next graphql.OperationHandler, parts, all int) (*graphql.Response, error) {
	cost := costOf(graphql.GetOperationContext(ctx)).Complexity * parts / max(all, 1)
	if cost < longComplexity {
		return next(ctx)(ctx), nil
	}
	memory := budget.From(ctx)
	before := memory.Held(budget.Responses) // of earlier operations in the same request
	if err := memory.Take(budget.Responses, bytesPerField*cost); err != nil {
		return nil, err
	}
	response := next(ctx)(ctx)
	if response != nil { // the transport gives the rest back when it has written the response
		memory.Give(budget.Responses, memory.Held(budget.Responses)-before-len(response.Data))
	}
	return response, nil
}

// refused returns the response to an operation that is not executed because of err.
func (r *Renderer) refused(ctx context.Context, err error) *graphql.Response {
	return &graphql.Response{Errors: gqlerror.List{r.options.PresentError(ctx, err)}}
}
