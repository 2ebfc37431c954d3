package render_test

import (
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/prometheus/client_golang/prometheus"

	"pullwatch/internal/budget"
	"pullwatch/internal/serve/render"
)

// TestAnOperationLeavesTheMemoryOfEarlierOnesInItsRequest: if it gave that back, arrays of operations would take more than the
// budget has.
func TestAnOperationLeavesTheMemoryOfEarlierOnesInItsRequest(t *testing.T) {
	const earlier, complexity = 100 << 10, 10_000
	for name, document := range map[string]string{
		"one list": "{ activePulls { id message } }", "both lists": "{ activePulls { id } failedPulls { id } }",
	} {
		t.Run(name, func(t *testing.T) {
			p := newPulls()
			for len(p.active.States) == 0 {
				p.change()
			}
			_, once, _ := newServers(p)
			memory := budget.New(1<<30, prometheus.NewRegistry()).Open("client", 0)
			defer memory.Close()
			if err := memory.Take(budget.Responses, earlier); err != nil {
				t.Fatal(err)
			}
			ctx := graphql.StartOperationTrace(budget.With(t.Context(), memory))
			o, errs := once.CreateOperationContext(ctx, &graphql.RawParams{Query: document})
			if errs != nil {
				t.Fatal(errs)
			}
			o.Stats.SetExtension(render.StatCost, render.Cost{Complexity: complexity})
			respond, ctx := once.DispatchOperation(ctx, o)
			response := respond(ctx)
			if response == nil || len(response.Errors) > 0 {
				t.Fatalf("%+v", response)
			}
			if got, want := memory.Held(budget.Responses), earlier+len(response.Data); got != want {
				t.Errorf("the request holds %d bytes for its responses; want %d", got, want)
			}
		})
	}
}
