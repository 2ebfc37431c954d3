package graphqlhttp

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
)

func TestClientsGetTheMediaTypeThatTheyAccept(t *testing.T) {
	for _, test := range []struct {
		header string
		want   accepted
	}{
		{"", accepted{}},
		{"*/*", accepted{single: typeJSON}},
		{"application/*", accepted{single: typeJSON}},
		{"application/json; charset=utf-8", accepted{single: typeJSON}},
		{"APPLICATION/JSON", accepted{single: typeJSON}},
		{"application/graphql-response+json", accepted{single: typeResponse}},
		{"application/graphql-response+json; charset=utf-8, application/json; charset=utf-8", accepted{single: typeResponse}},
		{"application/json, application/graphql-response+json", accepted{single: typeResponse}},
		{"application/graphql-response+json;q=0.8, application/json", accepted{single: typeJSON}},
		{"application/graphql-response+json, application/json;q=0.9", accepted{single: typeResponse}},
		{"application/json;q=0, */*", accepted{single: typeResponse}},
		{"application/json;q=0, application/graphql-response+json ; q=0.1", accepted{single: typeResponse}},
		{"application/json;q=0", accepted{}},
		{"application/json;q=x", accepted{}},
		{"application/json;q=NaN", accepted{}},
		{"text/html", accepted{}},
		{"text/html, */*;q=0.8", accepted{single: typeJSON}},
		{"text/event-stream", accepted{events: true, eventsFirst: true}},
		{"text/event-stream;q=0", accepted{}},
		{"text/*", accepted{}},
		{"text/event-stream, application/json", accepted{single: typeJSON, events: true}},
		{"text/event-stream, application/json;q=0.5", accepted{single: typeJSON, events: true, eventsFirst: true}},
		{ // urql's
			"application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed",
			accepted{single: typeResponse, events: true},
		},
		{acceptsParts, accepted{single: typeResponse, multipart: true}}, // Apollo's
		{`multipart/mixed;boundary="graphql";subscriptionSpec=1.0, application/json`, accepted{single: typeJSON, multipart: true}},
		{`Multipart/Mixed ; SubscriptionSpec="1.0"`, accepted{multipart: true}},
		{"multipart/mixed;subscriptionSpec=1.0;q=0, application/json", accepted{single: typeJSON}},
		{"multipart/mixed;subscriptionSpec=2.0, multipart/mixed;deferSpec=20220824, application/json", accepted{single: typeJSON}},
		{"multipart/mixed;subscriptionSpec=1.0, text/event-stream, application/json", accepted{single: typeJSON, events: true}},
		{"multipart/mixed;subscriptionSpec=1.0, text/event-stream;q=0.9", accepted{events: true, eventsFirst: true, multipart: true}},
	} {
		if got := accept([]string{test.header}); got != test.want {
			t.Errorf("%s: %+v", test.header, got)
		}
	}
	if got := accept(nil); got != (accepted{single: typeJSON}) {
		t.Errorf("no header: %+v", got)
	}
	if got := accept([]string{"text/event-stream", "application/json"}); got != (accepted{single: typeJSON, events: true}) {
		t.Errorf("two headers: %+v", got)
	}
}

func TestResponsesAreCompressedOnlyForClientsThatAcceptGzip(t *testing.T) {
	for header, want := range map[string]bool{
		"gzip": true, "gzip, deflate, br, zstd": true, "br;q=1.0, gzip;q=0.8, *;q=0.1": true, "*": true, "GZIP": true,
		"": false, "identity": false, "br": false, "gzip;q=0": false, "gzip;q=0.0, *": false, "*;q=0": false,
	} {
		if got := acceptsGzip([]string{header}); got != want {
			t.Errorf("%q: %v", header, got)
		}
	}
}

func TestBrowserGetsNoBodyThatItHasCached(t *testing.T) {
	s := newScript()
	s.body = NewBody([]byte(`{"data":"` + strings.Repeat("a", gzipFrom) + `"}`))
	for _, query := range []string{"query=one", "query=large", "query=body"} {
		first, text := ask(t, s, get(query))
		tag := first.Header.Get("ETag")
		if first.StatusCode != 200 || !strings.HasPrefix(tag, `W/"`) ||
			first.Header.Get("Cache-Control") != "private, no-cache" || first.Header.Get("Vary") != "Accept, Accept-Encoding" {
			t.Errorf("%s: %d %v", query, first.StatusCode, first.Header)
		}
		for header, want := range map[string]int{
			tag: 304, strings.TrimPrefix(tag, "W/"): 304, "*": 304, `"x", ` + tag + `, "y"`: 304, `"x"`: 200, "": 200,
		} {
			again, body := ask(t, s, get(query, "If-None-Match", header, "Accept-Encoding", "gzip"))
			if again.StatusCode != want || again.Header.Get("ETag") != tag || again.Header.Get("Vary") == "" ||
				again.Header.Get("Cache-Control") != "private, no-cache" {
				t.Errorf("%s with %s: %d %v", query, header, again.StatusCode, again.Header)
			}
			if want == 304 && (body != "" || again.Header.Get("Content-Length") != "") {
				t.Errorf("%s: 304 with a body: %s", query, body)
			}
		}
		posted, body := ask(t, s, post(`{"query":"`+strings.TrimPrefix(query, "query=")+`"}`, "If-None-Match", tag))
		if posted.StatusCode != 200 || body != text || posted.Header.Get("ETag") != "" ||
			posted.Header.Get("Cache-Control") != "" {
			t.Errorf("%s by POST: %d %v", query, posted.StatusCode, posted.Header)
		}
	}
	one, _ := ask(t, s, get("query=one"))
	echo, _ := ask(t, s, get("query=echo"))
	if one.Header.Get("ETag") == echo.Header.Get("ETag") {
		t.Error("different answers have one ETag")
	}
	failed, _ := ask(t, s, get("query=field+error", "If-None-Match", "*"))
	if failed.StatusCode != 200 || failed.Header.Get("ETag") != "" || failed.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("with an error: %d %v", failed.StatusCode, failed.Header)
	}
}

func TestHeadGetsTheHeaderOnly(t *testing.T) {
	s := serve(t, Options{})
	get := s.send(t, get("query=one"))
	head := s.send(t, request{method: http.MethodHead, query: "query=one"})
	if head.StatusCode != 200 || head.ContentLength != get.ContentLength ||
		head.Header.Get("ETag") != get.Header.Get("ETag") {
		t.Errorf("%d %v", head.StatusCode, head.Header)
	}
}

func TestLongResponsesAreCompressed(t *testing.T) {
	s := newScript()
	s.body = NewBody([]byte(`{"data":` + largeData + `}`))
	var wait sync.WaitGroup
	for _, query := range []string{"large", "body"} {
		for range 10 {
			wait.Go(func() {
				response, text := ask(t, s, post(`{"query":"`+query+`"}`, "Accept-Encoding", "gzip"))
				r, err := gzip.NewReader(strings.NewReader(text))
				if err != nil || response.Header.Get("Content-Encoding") != "gzip" {
					t.Errorf("%s: %v %v", query, err, response.Header)
					return
				}
				plain, err := io.ReadAll(r)
				if err != nil || string(plain) != `{"data":`+largeData+`}` {
					t.Errorf("%s: %d bytes, %v", query, len(plain), err)
				}
			})
		}
	}
	wait.Wait()
	if short, text := ask(t, s, post(`{"query":"one"}`, "Accept-Encoding", "gzip")); text != `{"data":{"one":1}}` {
		t.Errorf("a short answer: %v", short.Header)
	}
}

func TestReplySendsTheSameBytesToAllAndKeepsTheirCompressedForm(t *testing.T) {
	text := []byte(`{"data":` + largeData + `}`)
	b := NewBody(text)
	if b.Size() < len(text) {
		t.Errorf("size %d", b.Size())
	}
	before := b.Size()
	compressed := b.gzip()
	if b.Size() != before+cap(compressed.bytes) || &compressed.bytes[0] != &b.gzip().bytes[0] {
		t.Error("the gzip form is not kept")
	}
	if other := NewBody(bytes.Clone(text)); other.etag()[0] != b.etag()[0] {
		t.Error("equal answers have different ETags")
	}
	if bad := NewBody([]byte("{\"data\":\"\xff\"}")); string(bad.plain.bytes) != "{\"data\":\"\uFFFD\"}" {
		t.Errorf("%s", bad.plain.bytes)
	}
	if Reply(t.Context(), b) {
		t.Error("replied to nobody")
	}
	s := newScript()
	s.body = b
	for _, query := range []string{"body", "mutation body"} {
		if _, got := ask(t, s, post(`{"query":"`+query+`"}`)); got != string(text) {
			t.Errorf("%s: %.50s", query, got)
		}
	}
}
