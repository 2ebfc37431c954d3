package graphqlhttp

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"pullwatch/internal/budget"
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

// FuzzParseBody checks that a client learns what is wrong with a request that cannot be parsed.
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

// FuzzReadBody checks that a body is read as it was sent, in whatever pieces it comes, and that what it takes is counted
// until it is given back.
func FuzzReadBody(f *testing.F) {
	const limit, total = 16 << 10, 1 << 30
	f.Add([]byte("a"), uint16(1), uint16(0), true)
	f.Add([]byte("ab"), uint16(limit/2), uint16(100), true)
	f.Add([]byte("ab"), uint16(limit/2), uint16(4095), false)
	f.Add([]byte("abc"), uint16(limit/2), uint16(0xFFFF), false)
	memory := budget.New(total, prometheus.NewRegistry())
	transport := New(Options{BodyLimit: limit})
	f.Fuzz(func(t *testing.T, part []byte, times, size uint16, known bool) {
		if len(part) > 2*limit/(int(times)+1) {
			return
		}
		body := bytes.Repeat(part, int(times))
		r := &http.Request{Method: http.MethodPost, Body: io.NopCloser(&pieceReader{body, int(size) + 1}), ContentLength: -1}
		if known {
			r.ContentLength = int64(len(body))
		}
		e := &exchange{transport: transport, w: httptest.NewRecorder(), r: r, memory: memory.Open("client", 0)}
		text, refused := e.readText()
		switch held := e.memory.Held(budget.Requests); {
		case (refused != nil) != (len(body) > limit):
			t.Errorf("%d bytes: %v", len(body), refused)
		case refused != nil && refused.status != http.StatusRequestEntityTooLarge:
			t.Errorf("%d bytes: %d", len(body), refused.status)
		case refused == nil && !bytes.Equal(text.bytes, body):
			t.Errorf("got %q", text.bytes)
		case refused == nil && cap(text.bytes) > shortRequest && held != cap(text.bytes), held > 2*max(len(body), shortRequest):
			t.Errorf("%d bytes are taken for a body of %d", held, len(body))
		}
		e.memory.Close()
		if err := memory.Take("", budget.Requests, total); err != nil {
			t.Fatalf("not all was given back: %v", err)
		}
		memory.Give("", budget.Requests, total)
	})
}

// pieceReader reads at most size bytes at once.
type pieceReader struct {
	text []byte
	size int
}

func (r *pieceReader) Read(p []byte) (int, error) {
	if len(r.text) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), r.size)], r.text)
	r.text = r.text[n:]
	return n, nil
}
