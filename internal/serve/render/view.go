package render

import (
	"context"
	"math"

	"github.com/99designs/gqlgen/graphql"

	"pullwatch/cache"
)

// reads says which lists a query reads.
type reads struct {
	// active and failed are the names in the response of the fields that show them.
	active, failed []string
	// alone says that the response depends on nothing else.
	alone bool
	// only is the name of the field if there is one field only, and it shows the active pulls; empty otherwise.
	only string
}

func readsOf(o *graphql.OperationContext) reads {
	r := reads{alone: true}
	fields := graphql.CollectFields(o, o.Operation.SelectionSet, []string{"Query"})
	for _, field := range fields {
		switch field.Name {
		case "activePulls":
			r.active = append(r.active, field.Alias)
		case "failedPulls":
			r.failed = append(r.failed, field.Alias)
		case "__typename", "__schema", "__type":
		default:
			r.alone = false
		}
	}
	if len(fields) == 1 && len(r.active) == 1 {
		r.only = r.active[0]
	}
	return r
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
	if len(wanted.active) > 0 {
		v.active.result, v.active.err = lists.Active(ctx)
	}
	if len(wanted.failed) > 0 {
		v.failed.result, v.failed.err = lists.Failed(ctx, math.MaxInt)
	}
	return v
}

// generation is that of both lists. It is 0 for a list that is not read.
type generation struct{ active, failed uint64 }

// generation returns false if a list cannot be had.
func (v *view) generation() (g generation, ok bool) {
	ok = v.active.err == nil && v.failed.err == nil
	return generation{v.active.result.Generation, v.failed.result.Generation}, ok
}

// age is what a response tells of a list that is older than its time to live, because nothing newer can be had.
type age struct {
	AgeSeconds float64 `json:"ageSeconds"`
}

// extensions returns those of a response: how old its stale lists are, by the names that they have in it.
func (v *view) extensions(shown reads) map[string]any {
	if !v.active.result.Stale && !v.failed.result.Stale {
		return nil
	}
	stale := map[string]age{}
	for _, list := range []struct {
		names  []string
		result cache.Result
	}{{shown.active, v.active.result}, {shown.failed, v.failed.result}} {
		if list.result.Stale {
			for _, name := range list.names {
				stale[name] = age{list.result.Age.Seconds()}
			}
		}
	}
	return map[string]any{"stale": stale}
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
	result.States = result.States[:min(limit, len(result.States))]
	return result, v.failed.err
}
