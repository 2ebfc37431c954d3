package render_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pullwatch/cache"
	"pullwatch/internal/pull"
)

// Of a long list only the pulls are executed again that have changed, whatever happens to the others' places.
func TestOnlyPullsThatHaveChangedAreExecutedAgain(t *testing.T) {
	p := newPulls()
	plain, once, _ := newServers(p)
	list := func(jobs ...*pull.State) {
		p.active = cache.Result{Generation: revision.Add(1), States: jobs}
	}
	query := operation{document: "{ shown: activePulls { id message phase log { job } } }"}
	jobs := make([]*pull.State, 100)
	for i := range jobs {
		jobs[i] = state(fmt.Sprint("pull-", i), pull.Queued)
		jobs[i].Message = "{[\"}\\" // what JSON is cut at
	}
	for _, c := range []struct {
		name   string
		change func()
	}{
		{"all", func() {}},
		{"none", func() {}},
		{"one", func() { jobs[7] = state("pull-7", pull.Pulling) }},
		{"a new one", func() { jobs = slices.Insert(jobs, 0, state("pull-new", pull.Queued)) }},
		{"one less", func() { jobs = slices.Delete(jobs, 3, 4) }},
		{"another order", func() { slices.Reverse(jobs) }},
		{"none left", func() { jobs = nil }},
		{"all at once, and twice", func() { jobs = []*pull.State{state("a", pull.Queued), state("b", pull.Queued)} }},
	} {
		c.change()
		list(jobs...)
		want, got := text(t, plain.answer(t, query)), text(t, once.answer(t, query))
		if got != want {
			t.Errorf("%s: got %.300s, want %.300s", c.name, got, want)
		}
	}
}

func TestUnchangedPullsCostNothing(t *testing.T) {
	p := newPulls()
	_, once, _ := newServers(p)
	jobs := make([]*pull.State, 1000)
	for i := range jobs {
		jobs[i] = state(fmt.Sprint("pull-", i), pull.Queued)
	}
	query := operation{document: "{ activePulls { id message phase image { name } } }"}
	next := func() {
		p.active = cache.Result{Generation: revision.Add(1), States: jobs}
		if got := text(t, once.answer(t, query)); strings.Count(got, `"id"`) != len(jobs) {
			t.Fatalf("%.200s", got)
		}
	}
	all := testing.AllocsPerRun(1, func() {
		jobs = slices.Clone(jobs)
		for i := range jobs {
			jobs[i] = new(*jobs[i])
		}
		next()
	})
	one := testing.AllocsPerRun(5, func() {
		jobs = slices.Clone(jobs)
		jobs[500] = new(*jobs[500])
		next()
	})
	if one > all/20 {
		t.Errorf("one of %d pulls that changes takes %v allocations, all take %v", len(jobs), one, all)
	}
}
