package graphqlhttp

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"pullwatch/internal/serve/transport"
	"pullwatch/internal/serve/transport/transporttest"
	"pullwatch/internal/usererr"
)

const (
	beginning = ":\nretry: 3000\n\n"
	complete  = "event: complete\nid: complete\ndata:\n\n"
	// interrupted is complete for a client that is to come back.
	interrupted = "event: complete\ndata:\n\n"
)

func next(payload string) string { return "event: next\ndata: " + payload + "\n\n" }

// events is a request for a stream.
func events(query string) request {
	return post(`{"query":"`+query+`"}`, "Accept", typeEvents)
}

func TestStreamsHaveTheEventsOfTheirOperation(t *testing.T) {
	s := serve(t, Options{})
	for _, test := range []struct{ rule, query, want string }{
		{
			"results, then the error with which a subscription ends", "subscription three, then error",
			strings.Repeat(next(`{"data":{"n":1}}`), 3) + next(`{"errors":[{"message":"lost"}]}`) + complete,
		},
		{"a subscription that ends", "subscription one", next(`{"data":{"one":1}}`) + complete},
		{"a query", "one", next(`{"data":{"one":1}}`) + complete},
		{"a mutation", "mutation one", next(`{"data":{"one":1}}`) + complete},
		{
			"a query whose fields come later", "deferred", next(`{"data":{"a":1},"hasNext":true}`) +
				next(`{"data":1,"label":"l","path":["b"],"hasNext":false}`) + complete,
		},
		{"a query has one result", "for ever", next(`{"data":{}}`) + complete},
		{"a request that cannot run", "invalid", next(`{"errors":[{"message":"invalid"}]}`) + complete},
		{"one that is refused", "subscription fail FORBIDDEN", next(says("FORBIDDEN", "failed")) + complete},
		{"a panic", "subscription panic", next(says("INTERNAL", "recovered")) + complete},
		{"a panic before the operation", "panic early", next(says("INTERNAL", "recovered")) + complete},
		{"a result of several lines", "subscription lines", next(`{"data":{  "a": 1}}`) + complete},
		{"a result that is not UTF-8", "subscription latin1", next("{\"data\":{\"a\":\"\uFFFD\"}}") + complete},
		{"a kept response is for single responses", "body", next(`{"data":{"replied":false}}`) + complete},
	} {
		t.Run(test.rule, func(t *testing.T) {
			requests := []request{events(test.query)}
			if !strings.HasPrefix(test.query, "mutation") {
				requests = append(requests, get("query="+strings.ReplaceAll(test.query, " ", "+"), "Accept", typeEvents))
			}
			for _, q := range requests {
				response := s.send(t, q)
				if got := readAll(t, response.Body); response.StatusCode != 200 || got != beginning+test.want {
					t.Errorf("%d:\n%s\nwant:\n%s", response.StatusCode, got, test.want)
				}
				if response.Header.Get("Content-Type") != "text/event-stream; charset=utf-8" ||
					response.Header.Get("Cache-Control") != "no-store" {
					t.Errorf("%v", response.Header)
				}
			}
		})
	}
	if transport.AddSubscriptionError(t.Context(), nil) {
		t.Error("ended nothing with an error")
	}
	asked := get("query=subscription+updates", "Accept", typeEvents)
	asked.method = http.MethodHead
	head := s.send(t, asked)
	if head.StatusCode != http.StatusNotAcceptable {
		t.Errorf("HEAD, whose response would have no end: %d", head.StatusCode)
	}
	malformed := s.send(t, post("[]", "Accept", typeEvents))
	if malformed.StatusCode != 400 || malformed.Header.Get("Content-Type") != "application/json; charset=utf-8" {
		t.Errorf("malformed: %d %v", malformed.StatusCode, malformed.Header)
	}
}

// open opens a stream of updates.
func (s *server) open(t *testing.T) *opened {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	t.Cleanup(leave)
	response, err := s.Client().Do(events("subscription updates").build(t, s.URL).WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	if response.StatusCode != 200 {
		t.Fatal(response.Status)
	}
	body := bufio.NewReader(response.Body)
	if first := transporttest.ReadEvent(t, body); first != beginning {
		t.Errorf("begins with %q", first)
	}
	return &opened{body, leave}
}

type opened struct {
	*bufio.Reader
	leave context.CancelFunc
}

func TestUpdatesComeAtOnceUntilTheClientLeaves(t *testing.T) {
	s := serve(t, Options{})
	stream := s.open(t)
	for range 3 {
		s.Updates <- `{"n":1}`
		if got := transporttest.ReadEvent(t, stream.Reader); got != next(`{"data":{"n":1}}`) {
			t.Fatal(got)
		}
	}
	stream.leave()
	<-s.Ended
}

// closings has a value for each stream that has ended.
type closings struct {
	noObserver
	closed chan struct{}
}

func (c closings) StreamClosed() { c.closed <- struct{}{} }

func TestStreamsAboveTheLimitsAreRefused(t *testing.T) {
	address := "a"
	closed := make(chan struct{}, 10)
	s := serve(t, Options{
		MaxStreams: 2, MaxStreamsPerCaller: 1, Caller: func(*http.Request) string { return address },
		Observer: closings{closed: closed},
	})
	refuses := func(status int) {
		t.Helper()
		refused := s.send(t, events("subscription updates"))
		body := readAll(t, refused.Body)
		if refused.StatusCode != status || refused.Header.Get("Retry-After") == "" ||
			!strings.Contains(body, "LIMIT_EXCEEDED") {
			t.Errorf("%d %v %s", refused.StatusCode, refused.Header, body)
		}
	}
	first := s.open(t)
	refuses(http.StatusTooManyRequests)
	address = "b"
	s.open(t)
	address = "c"
	refuses(http.StatusServiceUnavailable)
	if query := s.send(t, get("query=one")); query.StatusCode != http.StatusOK {
		t.Errorf("a query: %d", query.StatusCode)
	}
	first.leave()
	<-closed
	address = "a"
	s.open(t)
}

func TestStreamsWorkOverHTTP2(t *testing.T) {
	s := serveBy(t, Options{}, func(s *httptest.Server) {
		s.EnableHTTP2 = true
		s.StartTLS()
	})
	stream := s.open(t)
	s.Updates <- `{"n":1}`
	if got := transporttest.ReadEvent(t, stream.Reader); got != next(`{"data":{"n":1}}`) {
		t.Error(got)
	}
	stream.leave()
	<-s.Ended
	other := s.open(t)
	if err := s.Drain(t.Context(), 0); err != nil {
		t.Error(err)
	}
	if rest, err := io.ReadAll(other); err != nil || len(rest) > 0 {
		t.Errorf("%q, %v", rest, err)
	}
}

func TestPagesOfOtherOriginsGetNoStream(t *testing.T) {
	s := serve(t, Options{})
	own := strings.TrimPrefix(s.URL, "http://")
	for _, test := range []struct {
		origin, site string
		want         int
	}{
		{"", "", 200}, {"", "same-origin", 200}, {"", "none", 200}, {"http://" + own, "same-origin", 200},
		{"https://evil.example", "cross-site", 403}, {"null", "", 403}, {"", "cross-site", 403}, {"", "same-site", 403},
	} {
		q := get("query=subscription+one", "Accept", typeEvents)
		if test.origin != "" {
			q.header["Origin"] = test.origin
		}
		if test.site != "" {
			q.header["Sec-Fetch-Site"] = test.site
		}
		response := s.send(t, q)
		body := readAll(t, response.Body)
		if response.StatusCode != test.want || strings.Contains(body, "FORBIDDEN") != (test.want == http.StatusForbidden) {
			t.Errorf("%+v: %d %s", test, response.StatusCode, body)
		}
	}
}

func TestDrainEndsStreamsSoThatTheirClientsComeBack(t *testing.T) {
	s := serve(t, Options{})
	var streams []*opened
	for range 5 {
		streams = append(streams, s.open(t))
	}
	if err := s.Drain(t.Context(), 10*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	for _, stream := range streams {
		if rest, err := io.ReadAll(stream); err != nil || len(rest) > 0 {
			t.Errorf("%q, %v: a stream is to end in order, but without complete", rest, err)
		}
	}
	refused := s.send(t, events("subscription updates"))
	if body := readAll(t, refused.Body); refused.StatusCode != 503 || !strings.Contains(body, "UNAVAILABLE") {
		t.Errorf("%d %s", refused.StatusCode, body)
	}
	if query := s.send(t, get("query=one")); query.StatusCode != 200 {
		t.Errorf("a query: %d", query.StatusCode)
	}
}

type counter struct {
	mu                     sync.Mutex
	statuses               map[int]int
	bytes, sent            int
	events, opened, closed int
	repeated               []string
}

func (c *counter) Responded(status, bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.statuses[status]++
	c.bytes += bytes
}

func (c *counter) Repeated(operation string, _ any, _ time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.repeated = append(c.repeated, operation)
}

func (c *counter) Refused(usererr.Code) {}
func (c *counter) StreamOpened()        { c.mu.Lock(); c.opened++; c.mu.Unlock() }
func (c *counter) StreamClosed()        { c.mu.Lock(); c.closed++; c.mu.Unlock() }
func (c *counter) Sent(bytes int, _ time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events++
	c.sent += bytes
}

func TestObserverSeesEveryResponseAndStream(t *testing.T) {
	c := &counter{statuses: map[int]int{}}
	s := serve(t, Options{Observer: c})
	one := s.send(t, get("query=one"))
	s.send(t, get("query=one", "If-None-Match", one.Header.Get("ETag")))
	s.send(t, request{method: "PUT"})
	stream := readAll(t, s.send(t, events("subscription one")).Body)
	if err := s.Drain(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.statuses[200] != 1 || c.statuses[304] != 1 || c.statuses[405] != 1 || c.bytes < len(`{"data":{"one":1}}`) {
		t.Errorf("%+v", c)
	}
	if c.opened != 1 || c.closed != 1 || c.events != 2 || c.sent != len(stream)-len(beginning) {
		t.Errorf("%+v", c)
	}
}
