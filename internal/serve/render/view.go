package render

import (
	"context"
	"math"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"pullwatch/cache"
)

// reads says which lists a query reads.
type reads struct {
	// active and failed are the names of the lists in the response. A list may have several.
	active, failed []string
	// listsOnly means that the response depends on nothing else.
	listsOnly bool
	// activeList is the name of the list of active pulls if the response has no other field, otherwise empty.
	activeList string
}

func readsOf(o *graphql.OperationContext) reads {
	r := reads{listsOnly: true}
	fields := graphql.CollectFields(o, o.Operation.SelectionSet, []string{"Query"})
	for _, field := range fields {
		switch field.Name {
		case "activePulls":
			r.active = append(r.active, field.Alias)
		case "failedPulls":
			r.failed = append(r.failed, field.Alias)
		case "__typename", "__schema", "__type":
		default:
			r.listsOnly = false
		}
	}
	if len(fields) == 1 && len(r.active) == 1 {
		r.activeList = r.active[0]
	}
	return r
}

// view is the lists that one response shows.
type view struct{ active, failed reading }

type reading struct {
	result cache.Result
	err    error
}

// readLists reads the lists of a query. It returns nil if that panics. A resolver then has the same panic, which gqlgen
// reports.
func readLists(ctx context.Context, lists Lists, of reads) (v *view) {
	defer func() {
		if recover() != nil {
			v = nil
		}
	}()
	v = &view{}
	if len(of.active) > 0 {
		v.active.result, v.active.err = lists.Active(ctx)
	}
	if len(of.failed) > 0 {
		v.failed.result, v.failed.err = lists.Failed(ctx, math.MaxInt)
	}
	return v
}

// generation is the generation of both lists, 0 for a list that is not read.
type generation struct{ active, failed uint64 }

// generation returns false if a list could not be read.
func (v *view) generation() (g generation, ok bool) {
	ok = v.active.err == nil && v.failed.err == nil
	return generation{v.active.result.Generation, v.failed.result.Generation}, ok
}

// staleness says which lists of a view are stale, and how old these are. The zero value means that none is.
type staleness struct {
	active, failed       bool
	activeAge, failedAge time.Duration // in steps
}

func (v *view) staleness() (s staleness) {
	if s.active = v.active.result.Stale; s.active {
		s.activeAge = inSteps(v.active.result.Age)
	}
	if s.failed = v.failed.result.Stale; s.failed {
		s.failedAge = inSteps(v.failed.result.Age)
	}
	return s
}

// inSteps rounds the age of a list down. Until the next step, all who ask the same get the same response, with the same ETag.
func inSteps(age time.Duration) time.Duration {
	if age < time.Minute {
		return age.Truncate(5 * time.Second)
	}
	return age.Truncate(30 * time.Second)
}

// age says in a response how old a stale list is.
type age struct {
	AgeSeconds float64 `json:"ageSeconds"`
}

// extensions returns the extensions of a response: how old its stale lists are, by their names. It is nil if none is stale.
func (s staleness) extensions(r reads) map[string]any {
	if s == (staleness{}) {
		return nil
	}
	stale := map[string]age{}
	if s.active {
		for _, name := range r.active {
			stale[name] = age{s.activeAge.Seconds()}
		}
	}
	if s.failed {
		for _, name := range r.failed {
			stale[name] = age{s.failedAge.Seconds()}
		}
	}
	return map[string]any{"stale": stale}
}

type viewKey struct{}

// Active is lists.Active for resolvers. While a Renderer executes a query, it returns the list that the Renderer has read.
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
