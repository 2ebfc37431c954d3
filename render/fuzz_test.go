package render_test

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"

	"pullwatch/pull"
	"pullwatch/resolvers"
)

// FuzzQueries checks that a query that is rendered once for all is answered as gqlgen answers it, whatever it looks like.
func FuzzQueries(f *testing.F) {
	w := &writer{Rand: rand.New(rand.NewPCG(1, 0)), schema: resolvers.NewSchema(&resolvers.Resolver{}).Schema()}
	for range 100 {
		o := w.query()
		variables, err := json.Marshal(o.variables)
		if err != nil {
			f.Fatal(err)
		}
		if len(o.document) < 300 {
			f.Add(o.document, string(variables))
		}
	}
	p := newPulls()
	for len(p.active.Jobs) < 2 {
		p.change()
	}
	p.Publish(state("pull-1", pull.Pulling))
	plain, once, _ := newServers(p)
	f.Fuzz(func(t *testing.T, document, variables string) {
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
		want := plain.ask(t, o())
		for range 2 {
			r := *once.answer(t, o())
			r.Extensions = nil // which only a Renderer adds
			if got := text(t, &r); got != want {
				t.Fatalf("got  %s\nwant %s", got, want)
			}
		}
	})
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
