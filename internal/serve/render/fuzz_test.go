package render_test

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"

	"pullwatch/cache"
	"pullwatch/internal/pull"
	"pullwatch/resolvers"
)

// FuzzQueries checks that a cached query gets the same response as from gqlgen, whatever the query, and whatever changes in
// the list between two responses.
func FuzzQueries(f *testing.F) {
	w := &writer{Rand: rand.New(rand.NewPCG(1, 0)), schema: resolvers.NewSchema(&resolvers.Resolver{}).Schema()}
	for range 100 {
		o := w.query()
		variables, err := json.Marshal(o.variables)
		if err != nil {
			f.Fatal(err)
		}
		if len(o.document) < 300 {
			f.Add(o.document, string(variables), []byte{1, 0b1111, 16 | 32, 64})
		}
	}
	f.Add("{ a: activePulls { id message b: message image { name } } }", "null", []byte{2, 16 | 64, 32})
	p := newPulls()
	var first []*pull.State
	for _, id := range []string{"a", "b", "c", "d"} {
		s := state(id, pull.Queued)
		s.Message = "{[\"}\\" // what JSON is cut at
		first = append(first, s)
	}
	p.Publish(state("pull-1", pull.Pulling))
	plain, once, _ := newServers(p)
	f.Fuzz(func(t *testing.T, document, variables string, changes []byte) {
		if len(document) > 500 || len(variables) > 500 || !isQuery(document) {
			return // what may be long is limited elsewhere
		}
		o := func() operation { // its own variables for each: they are changed
			o := operation{document: document}
			decoder := json.NewDecoder(strings.NewReader(variables))
			decoder.UseNumber()
			_ = decoder.Decode(&o.variables)
			return o
		}
		states := first
		for _, change := range append([]byte{0}, changes[:min(len(changes), 4)]...) {
			states = changed(states, change)
			p.active = cache.Result{Generation: revision.Add(1), States: states}
			want := plain.ask(t, o())
			for range 2 {
				r := *once.answer(t, o())
				r.Extensions = nil // which only a Renderer adds
				if got := text(t, &r); got != want {
					t.Fatalf("got  %s\nwant %s", got, want)
				}
			}
		}
	})
}

// changed returns states of which some are new, removed or in another order, as the bits of change say.
func changed(states []*pull.State, change byte) []*pull.State {
	states = slices.Clone(states)
	for i := range min(len(states), 4) {
		if change>>i&1 != 0 {
			states[i] = state(states[i].ID, pull.Pulling)
		}
	}
	if change&16 != 0 {
		slices.Reverse(states)
	}
	if change&32 != 0 && len(states) > 0 {
		states = states[1:]
	}
	if change&64 != 0 {
		states = append(states, state("e", pull.Queued))
	}
	return states
}

// isQuery reports whether a document has queries and nothing else.
func isQuery(document string) bool {
	parsed, err := parser.ParseQuery(&ast.Source{Input: document})
	if err != nil {
		return false
	}
	for _, operation := range parsed.Operations {
		if operation.Operation != ast.Query {
			return false
		}
	}
	return true
}
