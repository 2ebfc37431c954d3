package render_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"golang.org/x/sync/errgroup"

	"pullwatch/internal/pull"
	"pullwatch/internal/serve/graphqlhttp"
	"pullwatch/resolvers"
)

func TestQueriesGetTheSameAsFromGqlgen(t *testing.T) {
	p := newPulls()
	p.Publish(state("pull-1", pull.Pulling))
	plain, once, _ := newServers(p)
	requests := &requestCounter{}
	transport := graphqlhttp.New(graphqlhttp.Options{Observer: requests})
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	w := &writer{Rand: random, schema: resolvers.NewSchema(&resolvers.Resolver{}).Schema()}
	valid, shared := 0, 0
	for range 500 {
		o := w.query()
		for range 3 {
			switch random.IntN(6) {
			case 0:
				p.change()
			case 1:
				p.active.Stale, p.active.Age = !p.active.Stale, time.Duration(random.IntN(1000))*time.Second
			case 2:
				p.err = nil
				if random.IntN(4) == 0 {
					p.err = context.DeadlineExceeded
				}
			}
			first, want := once.answer(t, o), plain.ask(t, o)
			second := once.answer(t, o)
			for _, r := range []*graphql.Response{first, second} {
				alone := *r
				alone.Extensions = nil // which only a Renderer adds
				if got := text(t, &alone); got != want {
					t.Fatalf("seed %d: %s\n%v\ngot  %s\nwant %s", seed, o.document, o.variables, got, want)
				}
			}
			if len(first.Errors) == 0 {
				valid++
				for range 2 {
					if got := posted(t, transport, once, o); got != text(t, second) {
						t.Fatalf("seed %d: %s\n%v\ngot  %s\nwant %s", seed, o.document, o.variables, got, text(t, second))
					}
				}
			}
			if len(first.Data) > 0 && &first.Data[0] == &second.Data[0] {
				shared++
			}
		}
	}
	if valid < 250 || shared < 250 || requests.repeated < 250 {
		t.Errorf("seed %d: only %d of 1500 queries succeeded, %d were answered from memory, %d without being read", seed, valid,
			shared, requests.repeated)
	}
}

// TestQueryThatHasToWaitIsExecuted checks that a query waits where the server counts operations.
func TestQueryThatHasToWaitIsExecuted(t *testing.T) {
	p := newPulls()
	_, once, _ := newServers(p)
	requests := &requestCounter{}
	transport := graphqlhttp.New(graphqlhttp.Options{Observer: requests})
	query := operation{document: "{ activePulls { id } }"}
	var answers []string
	for _, p.waits = range []bool{false, false, true, false} {
		answers = append(answers, posted(t, transport, once, query))
	}
	if len(slices.Compact(answers)) != 1 || requests.repeated != 2 {
		t.Errorf("%q, of which %d were not executed", answers, requests.repeated)
	}
}

// posted is the response to an operation over HTTP.
func posted(t *testing.T, transport *graphqlhttp.Transport, s server, o operation) string {
	t.Helper()
	body, err := json.Marshal(map[string]any{"query": o.document, "operationName": o.name, "variables": o.variables})
	if err != nil {
		t.Fatal(err)
	}
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(body))
	request.Header.Set("Content-Type", "application/json")
	recorder := httptest.NewRecorder()
	transport.Do(recorder, request, s.Executor)
	return recorder.Body.String()
}

// requestCounter is a graphqlhttp.Observer.
type requestCounter struct {
	graphqlhttp.Observer
	repeated int
}

func (c *requestCounter) Responded(int, int) {}

func (c *requestCounter) Repeated(string, any, time.Duration) { c.repeated++ }

func TestAListIsRenderedOnceForAll(t *testing.T) {
	p := newPulls()
	_, once, metrics := newServers(p)
	o := operation{document: "{ activePulls { id message } }"}
	for changes := range 3 {
		p.change()
		var group errgroup.Group
		for range 50 {
			group.Go(func() error {
				once.ask(t, o)
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		counts(t, metrics, "response", float64(changes+1), float64(49*(changes+1)))
	}
}

func TestQueriesThatDifferGetTheirOwnResponses(t *testing.T) {
	_, once, _ := newServers(newPulls())
	document := "query A($x: Boolean = true) { activePulls { id phase @skip(if: $x) } } query B { activePulls { id phase } }"
	answers := map[string]bool{}
	for _, o := range []operation{
		{document, "A", nil, 0}, {document, "A", map[string]any{"x": true}, 0}, {document, "A", map[string]any{"x": false}, 0},
		{document, "B", nil, 0}, {document + " ", "B", nil, 0},
	} {
		answers[fmt.Sprintf("%p", once.answer(t, o))] = true
	}
	if len(answers) != 4 {
		t.Errorf("%d answers; a default and the same value given are one, all else is not", len(answers))
	}
}

func TestAStaleListIsRenderedOnceForAll(t *testing.T) {
	p := newPulls()
	_, once, metrics := newServers(p)
	o := operation{document: "{ a: activePulls { id } failedPulls(limit: 1) { id } }"}
	fresh := once.answer(t, o)
	p.active.Stale = true
	for age, seconds := range map[time.Duration]int{7 * time.Second: 5, 44_900 * time.Millisecond: 40, 3 * time.Minute: 180, 199 * time.Second: 180} {
		p.active.Age = age
		stale := once.answer(t, o)
		if &stale.Data[0] != &fresh.Data[0] {
			t.Error("it was rendered again")
		}
		extensions, err := json.Marshal(stale.Extensions)
		if want := fmt.Sprintf(`{"stale":{"a":{"ageSeconds":%d}}}`, seconds); err != nil || string(extensions) != want {
			t.Errorf("got %s, %v; want %s", extensions, err, want)
		}
	}
	if fresh.Extensions != nil {
		t.Errorf("the response before has %v", fresh.Extensions)
	}
	counts(t, metrics, "response", 1, 4)
}

// TestAStaleListIsEncodedOncePerStepOfItsAge: while the cluster is away, dashboards that poll must cost no more than before.
func TestAStaleListIsEncodedOncePerStepOfItsAge(t *testing.T) {
	p := newPulls()
	_, once, _ := newServers(p)
	requests := &requestCounter{}
	transport := graphqlhttp.New(graphqlhttp.Options{Observer: requests})
	tag := ""
	ask := func() (status int, body string) {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/?query={failedPulls(limit:2){id}activePulls{id}}", nil)
		request.Header.Set("If-None-Match", tag)
		recorder := httptest.NewRecorder()
		transport.Do(recorder, request, once.Executor)
		tag = recorder.Header().Get("ETag")
		return recorder.Code, recorder.Body.String()
	}
	expect := func(status int, ages string) {
		t.Helper()
		if got, body := ask(); got != status || status == http.StatusOK && strings.Contains(body, "extensions") != (ages != "") || !strings.Contains(body, ages) {
			t.Errorf("%d %s; want %d and %s", got, body, status, ages)
		}
	}
	expect(http.StatusOK, "")
	p.active.Stale = true
	p.active.Age = 5100 * time.Millisecond
	expect(http.StatusOK, `"extensions":{"stale":{"activePulls":{"ageSeconds":5}}}`)
	p.active.Age = 9900 * time.Millisecond
	expect(http.StatusNotModified, "")
	p.active.Age = 10 * time.Second
	expect(http.StatusOK, `"extensions":{"stale":{"activePulls":{"ageSeconds":10}}}`)
	p.failed.Stale = true
	p.failed.Age = 61 * time.Second
	expect(http.StatusOK, `"extensions":{"stale":{"activePulls":{"ageSeconds":10},"failedPulls":{"ageSeconds":60}}}`)
	p.active.Stale, p.failed.Stale = false, false
	expect(http.StatusOK, "")
	expect(http.StatusNotModified, "")
	if requests.repeated != 6 {
		t.Errorf("%d of 7 requests were answered without being executed; want all but the first", requests.repeated)
	}
}
