package render

import (
	"context"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"pullwatch/budget"
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
	// bytesPerField is what the execution of an operation takes in memory for each field of the response, that included.
	bytesPerField = 150
	// longComplexity is from where on operations are executed in turns: that takes milliseconds.
	longComplexity = 5_000
)

// run executes a query whose lists are known: it computes, and waits for nothing but its turn. The error is why there is
// no room for it.
func (r *Renderer) run(ctx context.Context, next graphql.OperationHandler) (*graphql.Response, error) {
	memory := budget.From(ctx)
	cost := costOf(graphql.GetOperationContext(ctx))
	if cost.Complexity >= longComplexity {
		end, err := r.options.Turns.Take(ctx, memory.Client())
		if err != nil {
			return nil, err
		}
		defer end()
	}
	if err := memory.Take(budget.Responses, bytesPerField*cost.Complexity); err != nil {
		return nil, err
	}
	response := next(ctx)(ctx)
	if response != nil {
		// The transport, which knows when it is written, takes the rest.
		memory.Give(budget.Responses, memory.Held(budget.Responses)-len(response.Data))
	}
	return response, nil
}

func (r *Renderer) refused(ctx context.Context, err error) *graphql.Response {
	return &graphql.Response{Errors: gqlerror.List{r.options.PresentError(ctx, err)}}
}
