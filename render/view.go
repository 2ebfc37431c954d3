package render

import (
	"context"
	"math"

	"github.com/99designs/gqlgen/graphql"

	"pullwatch/cache"
)

// reads says which lists an operation reads.
type reads struct{ active, failed bool }

// readsOf returns which lists a query reads, and false if its response depends on anything else.
func readsOf(o *graphql.OperationContext) (lists reads, ok bool) {
	for _, field := range graphql.CollectFields(o, o.Operation.SelectionSet, []string{"Query"}) {
		switch field.Name {
		case "activePulls":
			lists.active = true
		case "failedPulls":
			lists.failed = true
		case "__typename", "__schema", "__type":
		default:
			return reads{}, false
		}
	}
	return lists, true
}

// view is the lists as one response shows them.
type view struct{ active, failed reading }

type reading struct {
	result cache.Result
	err    error
}

// look reads the lists that are wanted. It returns nil if that panics: a resolver that comes upon the same panic tells of
// it as gqlgen has it.
func look(ctx context.Context, lists Lists, wanted reads) (v *view) {
	defer func() {
		if recover() != nil {
			v = nil
		}
	}()
	v = &view{}
	if wanted.active {
		v.active.result, v.active.err = lists.Active(ctx)
	}
	if wanted.failed {
		v.failed.result, v.failed.err = lists.Failed(ctx, math.MaxInt)
	}
	return v
}

// generation is that of both lists. It is 0 for a list that is not read.
type generation struct{ active, failed uint64 }

// generation returns false if the response must not be kept: a list cannot be had, or the response tells of its age.
func (v *view) generation() (g generation, ok bool) {
	for _, r := range []reading{v.active, v.failed} {
		if r.err != nil || r.result.Stale {
			return generation{}, false
		}
	}
	return generation{v.active.result.Generation, v.failed.result.Generation}, true
}

type viewKey struct{}

// Active is lists.Active for resolvers: what is rendered shows the lists as they were when it was decided to render it.
func Active(ctx context.Context, lists Lists) (cache.Result, error) {
	if v, ok := ctx.Value(viewKey{}).(*view); ok {
		return v.active.result, v.active.err
	}
	return lists.Active(ctx)
}

// Failed is lists.Failed for resolvers, as Active is.
func Failed(ctx context.Context, lists Lists, limit int) (cache.Result, error) {
	v, ok := ctx.Value(viewKey{}).(*view)
	if !ok {
		return lists.Failed(ctx, limit)
	}
	result := v.failed.result
	result.Jobs = result.Jobs[:min(limit, len(result.Jobs))]
	return result, v.failed.err
}
