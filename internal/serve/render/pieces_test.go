package render_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pullwatch/cache"
	"pullwatch/internal/pull"
)

// Of a long list only pulls that have changed are executed again, also if the others have other places.
func TestOnlyPullsThatHaveChangedAreExecutedAgain(t *testing.T) {
	p := newPulls()
	plain, once, _ := newServers(p)
	list := func(states ...*pull.State) {
		p.active = cache.Result{Generation: revision.Add(1), States: states}
	}
	query := operation{document: "{ shown: activePulls { id message phase log { job } } }"}
	states := make([]*pull.State, 100)
	for i := range states {
		states[i] = state(fmt.Sprint("pull-", i), pull.Queued)
		states[i].Message = "{[\"}\\" // what JSON is cut at
	}
	for _, c := range []struct {
		name   string
		change func()
	}{
		{"all", func() {}},
		{"none", func() {}},
		{"one", func() { states[7] = state("pull-7", pull.Pulling) }},
		{"a new one", func() { states = slices.Insert(states, 0, state("pull-new", pull.Queued)) }},
		{"one less", func() { states = slices.Delete(states, 3, 4) }},
		{"another order", func() { slices.Reverse(states) }},
		{"none left", func() { states = nil }},
		{"all at once, and twice", func() { states = []*pull.State{state("a", pull.Queued), state("b", pull.Queued)} }},
	} {
		c.change()
		list(states...)
		want, got := text(t, plain.answer(t, query)), text(t, once.answer(t, query))
		if got != want {
			t.Errorf("%s: got %.300s, want %.300s", c.name, got, want)
		}
	}
}

func TestUnchangedPullsCostNothing(t *testing.T) {
	p := newPulls()
	_, once, _ := newServers(p)
	states := make([]*pull.State, 1000)
	for i := range states {
		states[i] = state(fmt.Sprint("pull-", i), pull.Queued)
	}
	query := operation{document: "{ activePulls { id message phase image { name } } }"}
	next := func() {
		p.active = cache.Result{Generation: revision.Add(1), States: states}
		if got := text(t, once.answer(t, query)); strings.Count(got, `"id"`) != len(states) {
			t.Fatalf("%.200s", got)
		}
	}
	all := testing.AllocsPerRun(1, func() {
		states = slices.Clone(states)
		for i := range states {
			states[i] = new(*states[i])
		}
		next()
	})
	one := testing.AllocsPerRun(5, func() {
		states = slices.Clone(states)
		states[500] = new(*states[500])
		next()
	})
	if one > all/20 {
		t.Errorf("one of %d pulls that changes takes %v allocations, all take %v", len(states), one, all)
	}
}
