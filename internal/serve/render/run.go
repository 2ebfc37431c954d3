package render

import (
	"context"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"pullwatch/internal/budget"
)

// StatCost is the name of a [Cost] among the statistics of an operation.
const StatCost = "Cost"

// Cost is what is known of an operation before it is executed.
type Cost struct {
	// Complexity is about how many fields the response has.
	Complexity int
	// Document is how many bytes of memory the parsed document takes.
	Document int
}

// costOf returns the Cost of an operation; zero if none has been noted.
func costOf(o *graphql.OperationContext) Cost {
	cost, _ := o.Stats.GetExtension(StatCost).(Cost)
	return cost
}

const (
	// longComplexity is from where on the execution of an operation takes milliseconds. Shorter ones are over before many
	// of them have begun.
	longComplexity = 5_000
	// bytesPerField is about what an execution has in use for each field of its response; it allocates 700 to 1,700.
	bytesPerField = 400
)

// awaitTurn waits for the client's turn if it takes long to execute a query whose lists are known. The caller ends the
// turn. The error is ctx's.
func (r *Renderer) awaitTurn(ctx context.Context, a *cachedQuery, v *view) (end func(), err error) {
	cost := costOf(graphql.GetOperationContext(ctx)).Complexity
	if jobs := v.active.result.Jobs; a.reads.only != "" && len(jobs) > 0 {
		cost = cost * len(a.lastPieces().changed(jobs)) / len(jobs)
	}
	if cost < longComplexity {
		return func() {}, nil
	}
	return r.options.Turns.Take(ctx, budget.From(ctx).Caller())
}

// run executes a query whose lists are known, or a share of it: parts of all. The error is why there is no room for it.
func (r *Renderer) run(ctx context.Context, next graphql.OperationHandler, parts, all int) (*graphql.Response, error) {
	cost := costOf(graphql.GetOperationContext(ctx)).Complexity * parts / max(all, 1)
	if cost < longComplexity {
		return next(ctx)(ctx), nil
	}
	memory := budget.From(ctx)
	if err := memory.Take(budget.Responses, bytesPerField*cost); err != nil {
		return nil, err
	}
	response := next(ctx)(ctx)
	if response != nil { // the transport gives the rest back when it is written
		memory.Give(budget.Responses, memory.Held(budget.Responses)-len(response.Data))
	}
	return response, nil
}

func (r *Renderer) refused(ctx context.Context, err error) *graphql.Response {
	return &graphql.Response{Errors: gqlerror.List{r.options.PresentError(ctx, err)}}
}
