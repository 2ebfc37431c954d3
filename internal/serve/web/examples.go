package web

import (
	"maps"
	"slices"
	"strings"
)

// documents are the documents that the page sends by itself.
type documents struct {
	// Introspection asks for the schema, for GraphiQL's documentation and completion.
	Introspection string `json:"introspection"`
	// StandIns look up the id of a pull that examples have something else for, so that they work whenever they are run.
	StandIns map[string]string `json:"standIns"`
	Examples []example         `json:"examples"`
}

// What examples have for an id.
const (
	newestActive = "(newest active)"
	latestFailed = "(latest failed)"
)

func newDocuments(demo bool) documents {
	return documents{
		Introspection: exampleQuery("introspection"),
		StandIns: map[string]string{
			newestActive: "{ pulls: activePulls { id } }",
			latestFailed: "{ pulls: failedPulls(limit: 1) { id } }",
		},
		Examples: examples(demo),
	}
}

// Documents returns all documents that the page sends, as long as nobody changes the examples.
func Documents() []string {
	page := newDocuments(false)
	all := slices.AppendSeq([]string{page.Introspection}, maps.Values(page.StandIns))
	for _, e := range page.Examples {
		all = append(all, e.Query)
	}
	return all
}

// example is one tab of GraphiQL. Its title is the name of the operation.
type example struct {
	// Query is a GraphQL document with one named operation.
	Query     string         `json:"query"`
	Variables map[string]any `json:"variables,omitempty"`
}

// examples returns the examples in the order of their tabs.
func examples(demo bool) []example {
	images := []string{"hello-world:latest"}
	// GraphiQL takes a default of false for none, and marks variables without previous as wrong.
	logs := map[string]any{"namespace": "default", "selector": "app=example", "tailLines": 10, "previous": false}
	if demo {
		images = []string{"nginx:1.27", "demo/slow:1", "demo/missing:1"}
		logs["namespace"], logs["selector"] = "shop", "app=checkout"
	}
	return []example{
		// GraphiQL shows the variables of the first tab only after another tab was chosen. So the first tab has none.
		{Query: exampleQuery("live")},
		{Query: exampleQuery("active")},
		{Query: exampleQuery("failed"), Variables: map[string]any{"limit": 10}},
		{Query: exampleQuery("start"), Variables: map[string]any{"input": map[string]any{"images": images}}},
		{Query: exampleQuery("logs"), Variables: map[string]any{"input": logs}},
		{Query: exampleQuery("one"), Variables: map[string]any{"id": newestActive}},
		{Query: exampleQuery("cancel"), Variables: map[string]any{"id": newestActive}},
		{Query: exampleQuery("retry"), Variables: map[string]any{"id": latestFailed}},
		{Query: exampleQuery("hold"), Variables: map[string]any{"id": newestActive}},
		{Query: exampleQuery("release"), Variables: map[string]any{"id": newestActive}},
		{Query: exampleQuery("queue")},
		{Query: exampleQuery("pause"), Variables: map[string]any{"reason": "The registry is being moved"}},
		{Query: exampleQuery("resume")},
	}
}

func exampleQuery(name string) string {
	return strings.TrimSpace(string(mustRead("examples/" + name + ".graphql")))
}
