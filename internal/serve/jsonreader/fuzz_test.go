package jsonreader

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/99designs/gqlgen/graphql"
	"github.com/prometheus/client_golang/prometheus"

	"pullwatch/internal/budget"
)

// seeds are texts with all that JSON has, and with most of what it does not have.
var seeds = []string{
	`{"query":"{a}"}`, ` { "query" : "\u00e9\ud83d\ude00\ud800\n" , "operationName":null } `, `{}`, `[]`, `null`, ``, `{`,
	`{"query":"","variables":{"a":[1,-2.5e+3,true,false,null,{"b":[]},"\"\\"]},"extensions":{}}`, `{"a":}`, `{"a":1:2}`,
	`{"query":"a","query":"b"}`, `{"Query":"a"}`, `{"query":"a"}x`, `{"query":"a",}`, "{\"query\":\"a\"}\x00",
	`{"variables":{"a":01}}`, `{"variables":{"a":tru}}`, `{"variables":[}`, `{"x":[{]}]}`, `{"x":"\u12"}`, `{"\0":""}`,
	`{"query":"\x"}`, "{\"query\":\"\n\"}", `{"qu\u0065ry":"a"}`, `{"x":{"a":[1,{"b":"\n"}]},"query":"a"}`, `{"x":{"a"1}}`,
}

// FuzzParams compares Params with encoding/json, which is right about everything but names.
func FuzzParams(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if !utf8.Valid(text) {
			return
		}
		got, err := read(text, nil)
		if (got == nil) == (err == nil) {
			t.Fatalf("%v, %v", got, err)
		}
		if _, limited := errors.AsType[*LimitError](err); limited {
			return
		}
		want, ok := reference(text)
		if err != nil && !ok {
			return
		}
		if err != nil || !ok || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, %v; want %+v, %v", got, err, want, ok)
		}
	})
}

// reference is what Params is to return for a text, by encoding/json.
func reference(text []byte) (*graphql.RawParams, bool) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if !json.Valid(text) || !strings.HasPrefix(strings.TrimSpace(string(text)), "{") {
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

// FuzzSkip compares Skip with encoding/json: parts of messages are passed on as they are written.
func FuzzSkip(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if !utf8.Valid(text) {
			return
		}
		r := New(text, nil)
		value := r.Skip()
		ok := r.End()
		if _, limited := errors.AsType[*LimitError](r.Err()); limited {
			return
		}
		if ok != json.Valid(text) {
			t.Fatalf("accepted: %t, because of %v", ok, r.Err())
		}
		if ok && !bytes.Equal(value, bytes.Trim(text, " \t\r\n")) {
			t.Fatalf("got %q", value)
		}
	})
}

// FuzzMemory checks that no text becomes more than is taken from the budget for it.
func FuzzMemory(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Add([]byte(`{"a":{` + members(40) + `"z":[[],[{}],0,"\u2028"]}}`))
	memory := budget.New(1<<40, prometheus.NewRegistry())
	f.Fuzz(func(t *testing.T, text []byte) {
		if !utf8.Valid(text) {
			return
		}
		account := memory.Open("client", 0)
		defer account.Close()
		r := New(text, account)
		value := r.Value()
		if held, least := account.Held(budget.Requests), footprint(value); r.Err() == nil && held < least {
			t.Fatalf("%d bytes are taken for what needs %d", held, least)
		}
	})
}

// footprint is the least that a value takes in memory: its texts, the slots of arrays and maps, and what an interface
// points to.
func footprint(value any) int {
	const (
		text, slice, object   = 16, 24, 48
		element, member, slot = 16, 32, 8
	)
	switch v := value.(type) {
	case string:
		return text + len(v)
	case json.Number:
		return text + len(v)
	case []any:
		n := slice + element*cap(v)
		for _, inner := range v {
			n += footprint(inner)
		}
		return n
	case map[string]any:
		n := object + slot
		for name, inner := range v {
			n += member + len(name) + footprint(inner)
		}
		return n
	}
	return 0
}
