package graphqlhttp

import (
	"bytes"
	"encoding/json"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/99designs/gqlgen/graphql"
)

// FuzzParseBody compares parseBody with encoding/json, which is right about everything but names.
func FuzzParseBody(f *testing.F) {
	for _, seed := range []string{
		`{"query":"{a}"}`, ` { "query" : "\u00e9\ud83d\ude00\ud800\n" , "operationName":null } `, `{}`, `[]`, `null`, ``, `{`,
		`{"query":"","variables":{"a":[1,-2.5e+3,true,false,null,{"b":[]},"\"\\"]},"extensions":{}}`, `{"a":}`, `{"a":1:2}`,
		`{"query":"a","query":"b"}`, `{"Query":"a"}`, `{"query":"a"}x`, `{"query":"a",}`, "{\"query\":\"a\"}\x00",
		`{"variables":{"a":01}}`, `{"variables":{"a":tru}}`, `{"variables":[}`, `{"x":[{]}]}`, `{"x":"\u12"}`, `{"\0":""}`,
		`{"query":"\x"}`, "{\"query\":\"\n\"}", `{"qu\u0065ry":"a"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, refused := parseBody(text)
		if (got == nil) == (refused == nil) {
			t.Fatalf("%v, %v", got, refused)
		}
		want, ok := reference(text)
		if refused != nil && !ok {
			return
		}
		if refused != nil || !ok || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, %+v; want %+v, %v", got, refused, want, ok)
		}
	})
}

func TestDeepestBody(t *testing.T) {
	for _, depth := range []int{maxDepth - 1, maxDepth} {
		text := []byte(`{"x":` + strings.Repeat("[", depth) + strings.Repeat("]", depth) + "}")
		_, refused := parseBody(text)
		if _, ok := reference(text); ok != (refused == nil) || ok != (depth < maxDepth) {
			t.Errorf("%d arrays: %+v, by encoding/json %v", depth, refused, ok)
		}
	}
}

// reference is what parseBody is to return for a text, by encoding/json.
func reference(text []byte) (*graphql.RawParams, bool) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if !utf8.Valid(text) || !json.Valid(text) || !strings.HasPrefix(strings.TrimSpace(string(text)), "{") {
		return nil, false
	}
	p := &graphql.RawParams{}
	seen := map[string]bool{}
	_, _ = decoder.Token()
	for decoder.More() {
		name, _ := decoder.Token()
		var value any
		if decoder.Decode(&value) != nil {
			return nil, false
		}
		ok := true
		switch name {
		case "query":
			p.Query, ok = value.(string)
		case "operationName":
			p.OperationName, ok = value.(string)
		case "variables":
			p.Variables, ok = value.(map[string]any)
		case "extensions":
			p.Extensions, ok = value.(map[string]any)
		default:
			continue
		}
		if !ok && value != nil || seen[name.(string)] {
			return nil, false
		}
		seen[name.(string)] = true
	}
	return p, true
}

// FuzzParseURL checks that the parameters of a GET request mean what they mean in the body of a POST request.
func FuzzParseURL(f *testing.F) {
	for _, seed := range []string{
		"query={a}", "query=%7Ba%7D&operationName=A&variables={%22a%22:1}&extensions=null", "", "query", "query=a&query=b",
		"query=%zz", "query=%ff", "variables=[]", "variables={}x", "a;b", "query=a+b",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		got, refused := parseURL(query)
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
		want, refused := parseBody(body)
		if refused != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v; want %+v, %v", got, want, refused)
		}
	})
}
