package web

import "strings"

// example is one tab of GraphiQL. Its title is the name of the operation.
type example struct {
	// Query is a GraphQL document with one named operation.
	Query     string         `json:"query"`
	Variables map[string]any `json:"variables,omitempty"`
}

// examples returns what the page offers to run, in the order of its tabs.
func examples(demo bool) []example {
	images := []string{"hello-world:latest"}
	// GraphiQL marks the variables as wrong without previous: to it, a default of false is none.
	logs := map[string]any{"namespace": "default", "selector": "app=example", "tailLines": 10, "previous": false}
	if demo {
		images = []string{"nginx:1.27", "demo/slow:1", "demo/missing:1"}
		logs["namespace"], logs["selector"] = "shop", "app=checkout"
	}
	// The page replaces these by a pull's real id when the example is run.
	newestActive := map[string]any{"id": "(newest active)"}
	latestFailed := map[string]any{"id": "(latest failed)"}
	return []example{
		// GraphiQL does not show the variables of the first tab until another was chosen, so this one has none.
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
