package graphqlhttp

import (
	"encoding/json"
	"net/url"
	"reflect"
	"testing"
	"unicode/utf8"
)

// FuzzParseURL checks that the parameters of a GET request mean what they mean in the body of a POST request.
func FuzzParseURL(f *testing.F) {
	for _, seed := range []string{
		"query={a}", "query=%7Ba%7D&operationName=A&variables={%22a%22:1}&extensions=null", "", "query", "query=a&query=b",
		"query=%zz", "query=%ff", "variables=[]", "variables={}x", "a;b", "query=a+b",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		got, refused := parseURL(query, nil)
		if (got == nil) == (refused == nil) {
			t.Fatalf("%v, %v", got, refused)
		}
		if refused != nil {
			if !utf8.ValidString(refused.message) {
				t.Fatalf("%q", refused.message)
			}
			return
		}
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatalf("accepted what is no query: %v", err)
		}
		object := func(name string) json.RawMessage {
			if values.Get(name) == "" {
				return json.RawMessage("null")
			}
			return json.RawMessage(values.Get(name))
		}
		body, err := json.Marshal(map[string]any{
			"query": values.Get("query"), "operationName": values.Get("operationName"),
			"variables": object("variables"), "extensions": object("extensions"),
		})
		if err != nil {
			t.Fatal(err)
		}
		want, refused := parseBody(body, nil)
		if refused != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v; want %+v, %v", got, want, refused)
		}
	})
}
