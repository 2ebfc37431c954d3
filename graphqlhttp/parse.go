package graphqlhttp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/99designs/gqlgen/graphql"
)

// parseBody reads the parameters of a POST request.
func parseBody(text []byte) (*graphql.RawParams, *refusal) {
	if !utf8.Valid(text) {
		return nil, badRequest("the request is not UTF-8")
	}
	r := &reader{text: text}
	if r.next() != '{' {
		return nil, refuseText(text)
	}
	p := &graphql.RawParams{}
	var seen [4]bool
	for more := r.enter('}'); more; more = r.more('}') {
		name := r.name()
		var is int
		var ok bool
		want := "a string"
		switch name {
		case "query":
			is, ok = 0, r.readString(&p.Query)
		case "operationName":
			is, ok = 1, r.readString(&p.OperationName)
		case "variables":
			is, ok, want = 2, r.readObject(&p.Variables), "an object"
		case "extensions":
			is, ok, want = 3, r.readObject(&p.Extensions), "an object"
		default:
			r.value()
			continue
		}
		if !ok {
			if json.Valid(text) {
				return nil, badRequest(fmt.Sprintf("%q is not %s", name, want))
			}
			return nil, refuseText(text)
		}
		if seen[is] {
			return nil, badRequest(fmt.Sprintf("the request has %q more than once", name))
		}
		seen[is] = true
	}
	if r.next() != 0 || r.at < len(text) || r.bad {
		return nil, refuseText(text)
	}
	return p, nil
}

// refuseText refuses what is not a JSON object.
func refuseText(text []byte) *refusal {
	var value json.RawMessage
	err := json.Unmarshal(text, &value)
	syntax, isSyntax := errors.AsType[*json.SyntaxError](err)
	switch {
	case len(bytes.TrimSpace(text)) == 0:
		return badRequest("the request has no body")
	case isSyntax:
		return badRequest(fmt.Sprintf("the request is not JSON: %s (at byte %d)", syntax, syntax.Offset))
	case bytes.HasPrefix(value, []byte("[")):
		return badRequest("this server takes one operation in each request, not a batch of them")
	}
	return badRequest("the request is not a JSON object")
}

// readString reads a string, or null as if the parameter were not there.
func (r *reader) readString(to *string) bool {
	switch r.next() {
	case '"':
		*to = r.string()
		return true
	case 'n':
		return string(r.literal()) == "null"
	}
	return false
}

// readObject reads an object, or null as if the parameter were not there.
func (r *reader) readObject(to *map[string]any) bool {
	switch r.next() {
	case '{':
		*to = r.object()
		return true
	case 'n':
		return string(r.literal()) == "null"
	}
	return false
}

// parseObject reads text that is a JSON object, or null.
func parseObject(text string, to *map[string]any) bool {
	r := &reader{text: []byte(text)}
	return r.readObject(to) && !r.bad && r.next() == 0 && r.at == len(text)
}
