package graphqlhttp

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/99designs/gqlgen/graphql"
)

// acceptsParts is what Apollo's HttpLink sends with a subscription.
const acceptsParts = "multipart/mixed;boundary=graphql;subscriptionSpec=1.0,application/graphql-response+json,application/json;q=0.9"

// inParts is a request for a stream in parts.
func inParts(query string) request {
	return post(`{"query":"`+query+`"}`, "Accept", acceptsParts)
}

func part(payload string) string {
	return "\r\nContent-Type: application/json\r\n\r\n" + payload + "\r\n--graphql"
}

const lastBoundary = "--\r\n"

func TestPartsAreTheResultsOfTheirSubscription(t *testing.T) {
	s := serve(t, Options{})
	for _, test := range []struct{ rule, query, want string }{
		{"results", "subscription one", part(`{"payload":{"data":{"one":1}}}`)},
		{"results have no ids", "subscription ids", part(`{"payload":{"data":{"n":1}}}`) + part(`{"payload":{"data":{"n":2}}}`) +
			part(`{"payload":{"data":{"n":3}}}`)},
		{
			"an error of a field", "subscription field error",
			part(`{"payload":{"errors":[{"message":"oops"}],"data":{"a":null},"extensions":{"x":1}}}`),
		},
		{"an error that refuses it", "subscription fail NOT_FOUND", part(`{"payload":` + says("NOT_FOUND", "failed") + `}`)},
		{
			"an error that ends it", "subscription lost NOT_FOUND",
			part(`{"payload":{"data":{"n":1}}}`) + part(`{"payload":`+says("NOT_FOUND", "lost")+`}`),
		},
		{
			"an error that a pause mends is the transport's", "subscription lost UNAVAILABLE", part(`{"payload":{"data":{"n":1}}}`) +
				part(`{"payload":null,"errors":[{"message":"lost","extensions":{"code":"UNAVAILABLE"}}]}`),
		},
		{
			"such an error at once", "subscription fail TIMEOUT",
			part(`{"payload":null,"errors":[{"message":"failed","extensions":{"code":"TIMEOUT"}}]}`),
		},
		{"a panic", "subscription panic", part(`{"payload":` + says("INTERNAL", "recovered") + `}`)},
		{"text that is not UTF-8", "subscription latin1", part("{\"payload\":{\"data\":{\"a\":\"\uFFFD\"}}}")},
	} {
		t.Run(test.rule, func(t *testing.T) {
			for _, q := range []request{inParts(test.query), get("query="+strings.ReplaceAll(test.query, " ", "+"), "Accept", acceptsParts)} {
				response := s.send(t, q)
				want := "\r\n--graphql" + test.want + lastBoundary
				if got := readAll(t, response.Body); response.StatusCode != 200 || got != want {
					t.Errorf("%d:\n%q\nwant:\n%q", response.StatusCode, got, want)
				}
				if response.Header.Get("Content-Type") != "multipart/mixed;boundary=graphql;subscriptionSpec=1.0" ||
					response.Header.Get("Cache-Control") != "no-store" {
					t.Errorf("%v", response.Header)
				}
			}
		})
	}
}

func TestOnlySubscriptionsAreSentInParts(t *testing.T) {
	s := serve(t, Options{})
	s.body = NewBody([]byte(`{"data":{"kept":1}}`))
	for _, test := range []struct {
		rule, accept, query string
		status              int
		want                string
	}{
		{"a query", acceptsParts, "one", 200, `{"data":{"one":1}}`},
		{"a query that was asked before", acceptsParts, "repeat", 200, `{"data":{"kept":1}}`},
		{"and again", acceptsParts, "repeat", 200, `{"data":{"kept":1}}`},
		{"a mutation", acceptsParts, "mutation one", 200, `{"data":{"one":1}}`},
		{"a request that cannot run", acceptsParts, "invalid", 400, `{"errors":[{"message":"invalid"}]}`},
		{
			"that, as older clients accept it", `multipart/mixed;boundary="graphql";subscriptionSpec=1.0, application/json`, "invalid",
			200, `{"errors":[{"message":"invalid"}]}`,
		},
		{
			"a query with nothing else", "multipart/mixed;subscriptionSpec=1.0", "one", 406,
			says("BAD_INPUT", "this server answers with application/json, application/graphql-response+json and text/event-stream, and to subscriptions with multipart/mixed;subscriptionSpec=1.0: accept one of them"),
		},
		{
			"a query that was asked before, with nothing else", "multipart/mixed;subscriptionSpec=1.0", "repeat", 406,
			says("BAD_INPUT", "this server answers with application/json, application/graphql-response+json and text/event-stream, and to subscriptions with multipart/mixed;subscriptionSpec=1.0: accept one of them"),
		},
	} {
		t.Run(test.rule, func(t *testing.T) {
			response := s.send(t, post(`{"query":"`+test.query+`"}`, "Accept", test.accept))
			if got := readAll(t, response.Body); response.StatusCode != test.status || got != test.want {
				t.Errorf("%d %s; want %d %s", response.StatusCode, got, test.status, test.want)
			}
		})
	}
	asked := get("query=subscription+updates", "Accept", acceptsParts)
	asked.method = http.MethodHead
	if head := s.send(t, asked); head.StatusCode != http.StatusNotAcceptable {
		t.Errorf("HEAD, whose response would have no end: %d", head.StatusCode)
	}
}

// readPart returns the text up to the next boundary. It fails if more than that has come.
func readPart(t *testing.T, stream *bufio.Reader) string {
	t.Helper()
	var text []byte
	for !bytes.HasSuffix(text, []byte("\r\n--graphql")) {
		c, err := stream.ReadByte()
		if err != nil {
			t.Fatalf("%v after %q", err, text)
		}
		text = append(text, c)
	}
	return string(text)
}

func TestAPartCanBeReadBeforeTheNextOneComes(t *testing.T) {
	s := serve(t, Options{})
	response := s.send(t, inParts("subscription updates"))
	stream := bufio.NewReader(response.Body)
	if first := readPart(t, stream); first != "\r\n--graphql" {
		t.Errorf("begins with %q", first)
	}
	for range 2 {
		s.Updates <- `{"n":1}`
		if got := readPart(t, stream); got != part(`{"payload":{"data":{"n":1}}}`) {
			t.Fatalf("%q", got)
		}
	}
	close(s.Updates)
	if rest, err := io.ReadAll(stream); string(rest) != lastBoundary || err != nil {
		t.Errorf("%q %v", rest, err)
	}
}

func TestPartsBeatEveryFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		conn := overPipe(t, New(Options{}), s)(inParts("subscription updates"))
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		stream := bufio.NewReader(response.Body)
		readPart(t, stream)
		begun := time.Now()
		for i := range 3 {
			if got := readPart(t, stream); got != part("{}") || time.Since(begun) != time.Duration(i+1)*5*time.Second {
				t.Fatalf("%q after %v", got, time.Since(begun))
			}
		}
		close(s.Updates)
		if rest, err := io.ReadAll(stream); string(rest) != lastBoundary || err != nil {
			t.Errorf("%q %v", rest, err)
		}
	})
}

func TestADrainIsAnErrorOfTheTransportForStreamsInParts(t *testing.T) {
	s := serve(t, Options{})
	response := s.send(t, inParts("subscription updates"))
	stream := bufio.NewReader(response.Body)
	readPart(t, stream)
	if err := s.Drain(t.Context(), 0); err != nil {
		t.Error(err)
	}
	want := part(`{"payload":null,"errors":[{"message":"the stream was interrupted, as when the server stops; subscribe again",` +
		`"extensions":{"code":"UNAVAILABLE"}}]}`)
	if rest, err := io.ReadAll(stream); string(rest) != want+lastBoundary || err != nil {
		t.Errorf("%q %v", rest, err)
	}
	refused := s.send(t, inParts("subscription updates"))
	if body := readAll(t, refused.Body); refused.StatusCode != 503 || !strings.Contains(body, "UNAVAILABLE") {
		t.Errorf("%d %s", refused.StatusCode, body)
	}
}

func TestPagesOfOtherOriginsGetNoParts(t *testing.T) {
	s := serve(t, Options{MaxStreams: 1})
	q := inParts("subscription one")
	q.header["Origin"] = "https://evil.example"
	if response := s.send(t, q); response.StatusCode != http.StatusForbidden {
		t.Error(response.Status)
	}
	s.open(t)
	if response := s.send(t, inParts("subscription one")); response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("beyond the limit of streams: %s", response.Status)
	}
}

func TestADrainDoesNotWaitForAClientThatReadsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		transport := New(Options{WriteTimeout: time.Hour, KeepAlive: time.Hour})
		response, err := http.ReadResponse(bufio.NewReader(overPipe(t, transport, s)(inParts("subscription stubborn"))), nil)
		if err != nil {
			t.Fatal(err)
		}
		readPart(t, bufio.NewReader(response.Body))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		time.AfterFunc(2*time.Second, func() { close(s.Updates) })
		if err := transport.Drain(ctx, 0); err != context.DeadlineExceeded || time.Since(begun) != 2*time.Second {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
	})
}

// FuzzParts checks that what is sent in parts is read as it was by others' code, whatever the result is.
func FuzzParts(f *testing.F) {
	for _, seed := range []string{`{"a":1}`, "{\r\n\"a\":\r\n\r\n1}", `"\r\n--graphql"`, `"--graphql--"`, "null", `"é"`} {
		f.Add([]byte(seed), "r", true)
	}
	f.Fuzz(func(t *testing.T, data []byte, id string, again bool) {
		if !json.Valid(data) {
			return
		}
		var format multipartFormat
		text := format.appendResult(format.beginning(), &graphql.Response{Data: data}, id)
		text = append(append(text, format.signOfLife()...), format.ending(again)...)
		_, parameters, err := mime.ParseMediaType(format.contentType())
		if err != nil {
			t.Fatal(err)
		}
		reader := multipart.NewReader(bytes.NewReader(text), parameters["boundary"])
		for _, want := range []string{`{"payload":{"data":` + string(data) + `}}`, "{}"} {
			p, err := reader.NextPart()
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(p); string(got) != want || err != nil {
				t.Fatalf("got %q, %v; want %q", got, err, want)
			}
		}
		if _, err := reader.NextPart(); !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
	})
}

// FuzzEvents checks that what is sent as an event is read as it was, whatever the result is.
func FuzzEvents(f *testing.F) {
	f.Add([]byte("{\r\n\"a\":\n1}"), "l.1", true)
	f.Add([]byte(`"\n\ndata: 1"`), "", false)
	f.Fuzz(func(t *testing.T, data []byte, id string, again bool) {
		if !json.Valid(data) || strings.ContainsAny(id, "\r\n\x00") {
			return
		}
		var format eventFormat
		text := string(format.appendResult(nil, &graphql.Response{Data: data}, id))
		lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\r' || r == '\n' })
		want := []string{"event: next"}
		if id != "" {
			want = append(want, "id: "+id)
		}
		if len(lines) != len(want)+1 || strings.Join(lines[:len(want)], "\n") != strings.Join(want, "\n") || !strings.HasSuffix(text, "\n\n") {
			t.Fatalf("%q", text)
		}
		payload, ok := strings.CutPrefix(lines[len(want)], "data: ")
		var got, sent any
		if err := json.Unmarshal(data, &sent); err != nil {
			return // a number that Go has no type for
		}
		var result struct{ Data any }
		if err := json.Unmarshal([]byte(payload), &result); err != nil || !ok {
			t.Fatalf("%q: %v", payload, err)
		}
		if got = result.Data; !sameJSON(got, sent) {
			t.Fatalf("got %v, sent %v", got, sent)
		}
		if isEnd := strings.Contains(string(format.ending(again)), "id: "); isEnd == again {
			t.Error("a browser comes back after the end")
		}
	})
}

func sameJSON(a, b any) bool {
	first, _ := json.Marshal(a)
	second, _ := json.Marshal(b)
	return bytes.Equal(first, second)
}
