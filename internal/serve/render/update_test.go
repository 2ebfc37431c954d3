package render_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"

	"pullwatch/internal/pull"
	"pullwatch/internal/usererr"
	"pullwatch/resolvers"
)

func TestSubscriptionsGetTheSameAsFromGqlgen(t *testing.T) {
	p := newPulls()
	for i := range 3 {
		p.Publish(state(fmt.Sprint("pull-", i), pull.Pulling))
	}
	plain, once, _ := newServers(p)
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	w := &writer{Rand: random, schema: resolvers.NewSchema(&resolvers.Resolver{}).Schema()}
	results := 0
	for range 200 {
		o := w.subscription()
		ctx, cancel := context.WithCancel(t.Context())
		next := make([]func() string, 3)
		for i, s := range []server{plain, once, once} {
			respond, ctx := s.begin(t, ctx, o)
			next[i] = func() string { return text(t, respond(ctx)) }
		}
		for i := range o.follows + 2 {
			want := next[0]()
			for _, n := range next[1:] {
				if got := n(); got != want {
					t.Fatalf("seed %d: %s\n%v\ngot  %s\nwant %s", seed, o.document, o.variables, got, want)
				}
			}
			if !strings.HasPrefix(want, `{"data"`) {
				break // refused
			}
			results++
			if i >= o.follows-1 { // nobody has a state waiting that this one would take the place of
				p.Publish(state("pull-0", pull.Pulling))
			}
		}
		cancel()
	}
	if results < 200 {
		t.Errorf("seed %d: only %d results", seed, results)
	}
}

func TestAnUpdateIsRenderedOnceForAll(t *testing.T) {
	p := newPulls()
	p.Publish(state("a", pull.Pulling))
	p.Publish(state("b", pull.Pulling))
	_, once, metrics := newServers(p)
	document := "subscription($ids: [ID!], $phases: [PullPhase!], $history: Boolean! = true, $brief: Boolean! = true) " +
		"{ pullJobUpdated(ids: $ids, phases: $phases, history: $history) { id message @skip(if: $brief) } }"
	ctx, cancel := context.WithCancel(t.Context())
	open := func(variables map[string]any) func() *graphql.Response {
		respond, ctx := once.begin(t, ctx, operation{document: document, variables: variables})
		return func() *graphql.Response { return respond(ctx) }
	}
	all := open(nil)
	one := open(map[string]any{"ids": []any{"b"}, "phases": []any{"PULLING"}, "history": false})
	other := open(map[string]any{"ids": []any{"b"}, "brief": false})
	a, b := all(), all()
	if got := one(); got != b || text(t, a) != `{"data":{"pullJobUpdated":{"id":"a"}}}` {
		t.Errorf("%p is not %p", got, b)
	}
	if got := other(); got == b {
		t.Error("an update is shared although a variable of its selection differs")
	}
	counts(t, metrics, "update", 3, 1)
	p.Publish(state("b", pull.Succeeded))
	if next, got := all(), one(); got != next || got == b {
		t.Errorf("after a change: %p, %p, before %p", next, got, b)
	}
	if got := one(); got != nil {
		t.Errorf("after the end: %s", text(t, got))
	}
	cancel()
	if got := all(); got != nil {
		t.Errorf("after the context's end: %s", text(t, got))
	}
}

func TestSubscriptionsThatHaveEndedTakeNoMemory(t *testing.T) {
	p := newPulls()
	p.Publish(state("a", pull.Pulling))
	_, once, _ := newServers(p)
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	const subscriptions, longest = 1000, 4 << 10
	before := heap()
	for i := range subscriptions {
		var document strings.Builder
		fmt.Fprintf(&document, "subscription { pullJobUpdated { a%d: id", i)
		for n := range 100 {
			fmt.Fprintf(&document, " a%d: phase", subscriptions+n)
		}
		document.WriteString(" } }")
		ctx, cancel := context.WithCancel(t.Context())
		respond, ctx := once.begin(t, ctx, operation{document: document.String()})
		respond(ctx)
		cancel()
		respond(ctx)
	}
	if grown := int(heap()-before) / subscriptions; grown > longest {
		t.Errorf("each keeps %d bytes", grown)
	}
	runtime.KeepAlive(once)
}

func TestDocumentsOfSubscriptionsAreBounded(t *testing.T) {
	p := newPulls()
	_, once, _ := newServers(p)
	ctx, cancel := context.WithCancel(t.Context())
	long := "# " + strings.Repeat("x", 1<<20) + "\n"
	open := func(i int) *graphql.Response {
		document := fmt.Sprintf("%ssubscription { pullJobUpdated(ids: []) { a%d: id } }", long, i)
		respond, ctx := once.begin(t, ctx, operation{document: document})
		return respond(ctx)
	}
	for i := range 20 {
		if refused := open(i); refused != nil {
			t.Fatalf("%d, which has ended at once, was refused: %s", i, text(t, refused))
		}
	}
	respond := func(i int) *graphql.Response {
		document := fmt.Sprintf("%ssubscription { pullJobUpdated { a%d: id } }", long, i)
		respond, ctx := once.begin(t, ctx, operation{document: document})
		if i < 7 {
			return nil // it stays open
		}
		return respond(ctx)
	}
	for i := range 7 {
		respond(i)
	}
	if refused := respond(7); refused == nil || refused.Errors[0].Extensions["code"] != usererr.LimitExceeded {
		t.Errorf("got %v", refused)
	}
	cancel()
}
