package web

import "strings"

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
	// The page replaces these placeholders by a pull's id when the example is run.
	newestActive := map[string]any{"id": "(newest active)"}
	latestFailed := map[string]any{"id": "(latest failed)"}
	return []example{
		// GraphiQL shows the variables of the first tab only after another tab was chosen. So the first tab has none.
		{Query: exampleQuery("live")},
		{Query: exampleQuery("active")},
		{Query: exampleQuery("failed"), Variables: map[string]any{"limit": 10}},
		{Query: exampleQuery("start"), Variables: map[string]any{"input": map[string]any{"images": images}}},
		{Query: exampleQuery("logs"), Variables: map[string]any{"input": logs}},
		{Query: exampleQuery("one"), Variables: newestActive},
		{Query: exampleQuery("cancel"), Variables: newestActive},
		{Query: exampleQuery("retry"), Variables: latestFailed},
	}
}

func exampleQuery(name string) string {
	return strings.TrimSpace(string(mustRead("examples/" + name + ".graphql")))
}
