package graphqlhttp

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"strings"
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

// FuzzParseBody checks that who sends what cannot be read is told what is wrong with it.
func FuzzParseBody(f *testing.F) {
	for _, seed := range []string{
		`{"query":"a"}`, "", " ", "[]", "[{}]", "1", "null", `{"query":1}`, `{"query":"a","query":""}`, `{"query":"a"`, "{\xff}", "{}{}",
		`{"query":1,`, `{"variables":{"a":[1e5,"\ud800"]}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, refused := parseBody(text, nil)
		if (p == nil) == (refused == nil) {
			t.Fatalf("%v, %v", p, refused)
		}
		object := json.Valid(text) && bytes.HasPrefix(bytes.TrimSpace(text), []byte("{"))
		if p != nil {
			if !object {
				t.Errorf("accepted %+v", p)
			}
			return
		}
		says := func(part string) bool { return strings.Contains(refused.message, part) }
		switch {
		case refused.status == http.StatusRequestEntityTooLarge:
		case refused.status != http.StatusBadRequest || !utf8.ValidString(refused.message):
			t.Errorf("%d %q", refused.status, refused.message)
		case !utf8.Valid(text):
			if !says("not UTF-8") {
				t.Errorf("no UTF-8: %s", refused.message)
			}
		case !json.Valid(text):
			if !says("not JSON") && !says("no body") {
				t.Errorf("no JSON: %s", refused.message)
			}
		case object != (says("is not a string") || says("is not an object") || says("more than once")):
			t.Errorf("an object: %t; %s", object, refused.message)
		}
	})
}
