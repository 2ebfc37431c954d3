package executor

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"

	"pullwatch/internal/budget"
	"pullwatch/internal/turns"
	"pullwatch/internal/usererr"
	"pullwatch/resolvers"
)

// theSchema is pullwatch's.
var theSchema = sync.OnceValue(func() graphql.ExecutableSchema { return resolvers.NewSchema(&resolvers.Resolver{}) })

// numbered returns n texts made with their number, one after the other.
func numbered(n int, format string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.ReplaceAll(format, "#", fmt.Sprint(i)))
	}
	return b.String()
}

// chain returns n fragments of which each spreads the next one, as often as times says, and the last selects leaf.
func chain(n, times int, on, leaf string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "fragment f%d on %s{%s}", i, on, strings.Repeat(fmt.Sprintf("...f%d ", i+1), times))
	}
	fmt.Fprintf(&b, "fragment f%d on %s{%s}", n, on, leaf)
	return b.String()
}

// inline returns selections within n inline fragments.
func inline(n int, selections string) string {
	return strings.Repeat("...{", n) + selections + strings.Repeat("}", n)
}

// refused are documents that would take long to validate or to execute, each with what it has too much of.
var refused = map[string]struct{ document, limit string }{
	"length":                         {"{activePulls{id}}" + strings.Repeat(" ", maxDocument), "bytes"},
	"tokens":                         {"{" + strings.Repeat("x ", maxTokens) + "}", "tokens"},
	"comments":                       {"{activePulls{id}}" + strings.Repeat("#\n", maxTokens), "tokens"},
	"depth":                          {strings.Repeat("{a", 3_000) + strings.Repeat("}", 3_000), "depth"},
	"depth of inline fragments":      {"{" + inline(1_000, "activePulls{id}") + "}", "depth"},
	"depth of fragments":             {"{activePulls{...f0}}" + numbered(40, "fragment f# on PullJob{x{...g#}}fragment g# on X{y{...f#}}"), "spreads itself"},
	"aliases":                        {"{activePulls{" + numbered(300, "a#:id ") + "}}", "aliases"},
	"aliases in a fragment":          {"{activePulls{...f ...f ...f}}fragment f on PullJob{" + numbered(100, "a#:id ") + "}", "aliases"},
	"root fields":                    {"{" + numbered(60, "a#:pullJob(id:1){id}") + "}", "root fields"},
	"root fields in fragments":       {"{" + strings.Repeat("...f ", 10) + "}fragment f on Query{" + numbered(6, "a#:pullJob(id:1){id}") + "}", "root fields"},
	"equal fields":                   {"{activePulls{" + strings.Repeat("id ", 400) + "}}", "pairs"},
	"equal objects":                  {"{activePulls{" + strings.Repeat("progress{percent} ", 400) + "}}", "pairs"},
	"equal fields, inline fragments": {"{activePulls{" + inline(15, strings.Repeat("id ", 100)) + "}}", "pairs"},
	"equal fields in fragments":      {"{activePulls{" + numbered(60, "...f# ...f# ") + "}}" + numbered(60, "fragment f# on PullJob{id id id}"), "pairs"},
	"exponential fragments":          {"{activePulls{...f0}}" + chain(60, 2, "PullJob", "id"), "fields"},
	"exponential introspection":      {"{__schema{types{...f0}}}" + chain(20, 2, "__Type", "name"), "fields"},
	"exponential fragments, unused":  {"{activePulls{id}}" + chain(60, 2, "PullJob", "id"), "fields"},
	"operations with a fragment":     {numbered(45, "query a#{...f}") + "fragment f on Query{activePulls{" + strings.Repeat("id image{name}", 50) + "}}", "fields"},
	"fragments":                      {"{activePulls{id}}" + numbered(200, "fragment f# on PullJob{id}"), "fragments"},
	"literals":                       {"mutation{startPulls(input:{images:[" + strings.Repeat(`"a" `, 9_000) + "]}){results{image}}}", "values"},
	"nested literals":                {"mutation{startPulls(input:" + strings.Repeat("[", 4_500) + strings.Repeat("]", 4_500) + "){results{image}}}", "depth"},
	"directives":                     {"{activePulls{id" + strings.Repeat("@a ", 4_500) + "}}", "values"},
	"variables":                      {"query(" + numbered(500, "$v#:[ID!]=[1 2 3 4 5 6 7 8]") + "){activePulls{id}}", "values"},
	"unknown fields":                 {"{activePulls{" + numbered(5_000, "z# ") + "}}", "fields"},
	"a fragment in itself":           {"{activePulls{...f}}fragment f on PullJob{id ...f}", "spreads itself"},
	"fragments in each other":        {"{activePulls{...f}}fragment f on PullJob{...g}fragment g on PullJob{...f}", "spreads itself"},
}

func newTestDocuments() *documents {
	return newDocuments(Options{
		Schema: theSchema(), Introspection: true, ActivePulls: func() int { return 0 },
		CachedDocuments: 32 << 20, Turns: turns.New(1),
	})
}

func TestDocumentsThatTakeTooLongAreRefused(t *testing.T) {
	for name, c := range refused {
		t.Run(name, func(t *testing.T) {
			d := newTestDocuments()
			_, errs := d.find(t.Context(), c.document, nil)
			if len(errs) != 1 || !strings.Contains(errs[0].Message, c.limit) {
				t.Fatalf("%.300v; want %s", errs, c.limit)
			}
			want := usererr.LimitExceeded
			if c.limit == "spreads itself" {
				want = usererr.BadInput
			}
			if got := usererr.CodeOf(errs[0]); got != want {
				t.Errorf("%s; want %s", got, want)
			}
		})
	}
}

// worst are documents just within the limits.
func worst() map[string]string {
	return map[string]string{
		"equal fields":              "{activePulls{" + strings.Repeat("id ", 310) + "}}",
		"many equal fields":         "{activePulls{" + numbered(65, strings.Repeat("a#:id ", 3)) + strings.Repeat("id message phase image{name} ", 110) + "}}",
		"equal objects":             "{activePulls{" + strings.Repeat("progress{percent} ", 220) + "}}",
		"equal objects, two levels": "{activePulls{" + strings.Repeat("failure{"+strings.Repeat("message ", 12)+"} ", 25) + "}}",
		"inline fragments":          "{activePulls{" + inline(18, strings.Repeat("id message phase attempts revision ", 32)) + "}}",
		"inline fragments, objects": "{activePulls{" + inline(17, strings.Repeat("progress{percent} ", 72)) + "}}",
		"fragments": "{activePulls{" + numbered(100, "...f# ") + "}}" +
			numbered(100, "fragment f# on PullJob{x#:id y#:phase message}"),
		"fragments that share nothing": "{activePulls{" + numbered(95, "...f# ") + "}}" + numbered(95, "fragment f# on PullJob{x#:id}"),
		"large fragments":              "{activePulls{" + numbered(10, "...f# ") + "}}" + numbered(10, "fragment f# on PullJob{"+strings.Repeat("id message phase attempts revision createdAt ", 5)+"}"),
		"many large fragments":         "{activePulls{" + inline(18, numbered(55, "...f# ")) + "}}" + numbered(55, "fragment f# on PullJob{"+unknownFields(25)+"}"),
		"repeated spreads":             "{activePulls{" + strings.Repeat("...f ", 300) + "}}fragment f on PullJob{id}",
		"a chain of fragments":         "{activePulls{...f0}}" + chain(85, 1, "PullJob", "id"),
		"operations":                   numbered(900, "query a#{...f}") + "fragment f on Query{activePulls{id}}",
		"arguments":                    "{" + strings.Repeat("failedPulls("+strings.Repeat("limit:1 ", 60)+"){id}", 50) + "}",
		"two with many arguments":      "{" + strings.Repeat("failedPulls("+strings.Repeat("limit:1 ", 1_600)+"){id}", 2) + "}",
		"variables":                    "query(" + numbered(700, "$v#:ID!") + "){activePulls{id " + strings.Repeat("@a(b:$v699)", 700) + "}}",
		"used in a fragment":           numbered(15, "query a#("+numbered(10, "$v#:ID!")+"){...f}") + "fragment f on Query{pullJob(id:[" + strings.Repeat("$v9 ", 230) + "]){id}}",
		"literals":                     "mutation{startPulls(input:{images:[" + strings.Repeat("1 ", 3_900) + "]}){results{image}}}",
		"nested literals":              "mutation{startPulls(input:{images:" + strings.Repeat("[", 990) + strings.Repeat("]", 990) + "}){results{image}}}",
		"unknown fields":               "{activePulls{" + strings.Repeat("z"+strings.Repeat("y", 200)+" ", 300) + "}}",
		"different unknown fields":     "{activePulls{" + numbered(3_900, "unknown# ") + "}}",
		"a long unknown field":         "{activePulls{" + strings.Repeat("z", 65_000) + "}}",
		"a long unknown type":          "{activePulls{...a}}fragment a on " + strings.Repeat("z", 65_000) + "{id}",
		"unknown types":                "{activePulls{id}}" + numbered(99, "fragment f# on "+strings.Repeat("z", 600)+"{id}"),
		"directives":                   "{activePulls{id" + strings.Repeat("@include(if:true)", 1_400) + "}}",
		"unknown directives":           "{activePulls{id" + strings.Repeat("@a", 3_900) + "}}",
	}
}

// unknownFields returns n fields for numbered, different ones each time.
func unknownFields(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "x%c#y ", 'a'+i)
	}
	return b.String()
}

// The limits bound the time that validation takes.
func TestWorstDocumentsAreWithinLimits(t *testing.T) {
	for name, text := range worst() {
		if _, errs := newTestDocuments().find(context.Background(), text, nil); len(errs) > maxErrors {
			t.Errorf("%s: %d errors", name, len(errs))
		} else if errs != nil && usererr.CodeOf(errs[0]) == usererr.LimitExceeded {
			t.Errorf("%s: %v", name, errs)
		}
	}
}

func TestFloodOfUnknownDocumentsIsRefused(t *testing.T) {
	d := newTestDocuments()
	memory := budget.New(400<<10, prometheus.NewRegistry())
	const known, unknown = "{activePulls{id}}", "{failedPulls{id}}"
	if _, errs := d.find(t.Context(), known, memory.Open("flood", 0)); errs != nil {
		t.Fatal(errs)
	}
	flood := memory.Open("flood", 0)
	for flood.Take(budget.Documents, 10<<10) == nil { // until it has all that it may
	}
	long := "{activePulls{" + strings.Repeat("id ", 200) + "}}"
	if _, errs := d.find(t.Context(), long, memory.Open("flood", 0)); len(errs) != 1 || usererr.CodeOf(errs[0]) != usererr.Unavailable {
		t.Errorf("an unknown document of the client who floods: %v", errs)
	}
	if _, errs := d.find(t.Context(), known, memory.Open("other", 0)); errs != nil {
		t.Errorf("a known document: %v", errs)
	}
	if _, errs := d.find(t.Context(), unknown, memory.Open("other", 0)); errs != nil {
		t.Errorf("an unknown document of another client: %v", errs)
	}
	flood.Close()
	again := memory.Open("flood", 0)
	if _, errs := d.find(t.Context(), long, again); errs != nil {
		t.Errorf("an unknown document, later: %v", errs)
	}
	if held := again.Held(budget.Documents); held < len(long) {
		t.Errorf("%d bytes are taken for a document of %d bytes that is in use", held, len(long))
	}
}

// Documents of others may evict it from the cache.
func TestShortDocumentDoesNotWaitForLongOnes(t *testing.T) {
	d := newTestDocuments()
	end, err := d.turns.Take(t.Context(), "another")
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // so that who has to wait fails
	if _, errs := d.find(ctx, "{activePulls{id}}", nil); errs != nil {
		t.Errorf("a short document: %v", errs)
	}
	if _, errs := d.find(ctx, "{activePulls{"+strings.Repeat("id ", shortDocument/3)+"}}", nil); errs == nil {
		t.Error("a long document did not wait for its turn")
	}
}

func BenchmarkWorstDocuments(b *testing.B) {
	for name, text := range worst() {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				newTestDocuments().find(context.Background(), text, nil)
			}
		})
	}
}

// parse parses a document that may be wrong in all other ways.
func parse(text string) *ast.QueryDocument {
	document, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: text}, maxTokens)
	if err != nil {
		return nil
	}
	return document
}

func FuzzCheckDocument(f *testing.F) {
	for _, c := range refused {
		if len(c.document) < 4<<10 {
			f.Add(c.document)
		}
	}
	for _, text := range worst() {
		if len(text) < 4<<10 {
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		document := parse(text)
		if document == nil {
			t.Skip()
		}
		c := newDocumentCheck(document)
		errs := c.check(document, true)
		if most := 2*len(text) + maxNodes; c.steps > most {
			t.Errorf("%d steps for %d bytes; want %d at most", c.steps, len(text), most)
		}
		if errs != nil && (len(errs) != 1 || errs[0].Message == "") {
			t.Errorf("%v", errs)
		}
	})
}
