package render_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	gqlgen "github.com/99designs/gqlgen/graphql/executor"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"pullwatch/cache"
	"pullwatch/internal/feed"
	"pullwatch/internal/pull"
	"pullwatch/internal/serve/executor"
	"pullwatch/internal/serve/graphqlhttp"
	"pullwatch/internal/serve/render"
	"pullwatch/internal/turns"
	"pullwatch/internal/usererr"
	"pullwatch/resolvers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pulls are what the resolvers ask: lists that change when they are told to, and a Hub.
type pulls struct {
	*feed.Hub
	resolvers.Pulls
	active, failed cache.Result
	err            error
	waits          bool // before it answers
	reads          atomic.Int64
}

func newPulls() *pulls {
	p := &pulls{Hub: feed.New("r")}
	p.Complete()
	p.change()
	return p
}

func (p *pulls) Active(ctx context.Context) (cache.Result, error) {
	p.reads.Add(1)
	if p.waits {
		return p.active, ctx.Err()
	}
	return p.active, p.err
}

func (p *pulls) Failed(_ context.Context, limit int) (cache.Result, error) {
	p.reads.Add(1)
	result := p.failed
	result.Jobs = result.Jobs[:min(limit, len(result.Jobs))]
	return result, p.err
}

func (p *pulls) Require(uint64)                                  {}
func (p *pulls) Find(context.Context, string) (*pull.Job, error) { return nil, nil }

var revision atomic.Uint64

// state returns a new state of a pull.
func state(id string, phase pull.Phase) *pull.Job {
	n := revision.Add(1)
	at := time.Unix(int64(n), 5)
	text := fmt.Sprintf("no. %d \"quoted\" <é> \u2028", n)
	j := &pull.Job{
		ID: id, Phase: phase, Message: text, Attempts: int(n % 4), CreatedAt: at, UpdatedAt: at,
		Image:    pull.ImageReference{Name: "docker.io/library/nginx:1", Registry: "docker.io", Repository: "library/nginx", Tag: &text},
		Revision: pull.Revision{Cluster: n},
	}
	if phase == pull.Failed {
		j.FinishedAt = at
		j.Failure = &pull.Failure{Reason: pull.NotFound, Message: text, LogTail: []string{text, ""}}
	}
	return j
}

// change changes the lists.
func (p *pulls) change() {
	before := p.active.Jobs
	p.active = cache.Result{Generation: revision.Add(1)}
	p.failed = cache.Result{Generation: revision.Add(1)}
	for i := range int(p.active.Generation % 5) {
		job := state(fmt.Sprint("pull-", i), pull.Pulling)
		if i < len(before) && p.active.Generation%3 > 0 && i%2 == 0 { // it has not changed
			job = before[i]
		}
		p.active.Jobs = append(p.active.Jobs, job)
		p.failed.Jobs = append(p.failed.Jobs, state(fmt.Sprint("failed-", i), pull.Failed))
	}
}

// server executes operations.
type server struct{ *gqlgen.Executor }

// newServers returns one that renders each operation every time, and one that renders once.
func newServers(p *pulls) (plain, once server, metrics *prometheus.Registry) {
	schema := resolvers.NewSchema(&resolvers.Resolver{Lists: p, Pulls: p, Updates: p})
	metrics = prometheus.NewRegistry()
	failures := executor.NewErrors(slog.New(slog.DiscardHandler), metrics)
	renderer := render.New(render.Options{
		MaxKept: 8 << 20, Turns: turns.New(1),
		Schema: schema, Lists: p, PresentError: failures.Present, Recover: failures.Recover,
		Metrics: render.NewMetrics(metrics),
	})
	servers := [2]server{}
	for i := range servers {
		servers[i] = server{gqlgen.New(schema)}
		servers[i].SetErrorPresenter(failures.Present)
		servers[i].SetRecoverFunc(failures.Recover)
	}
	servers[1].AroundOperations(renderer.Operation)
	return servers[0], servers[1], metrics
}

// begin starts an operation, or returns the response that refuses it.
func (s server) begin(t *testing.T, ctx context.Context, o operation) (graphql.ResponseHandler, context.Context) {
	t.Helper()
	ctx = graphql.StartOperationTrace(ctx)
	params := &graphql.RawParams{Query: o.document, OperationName: o.name, Variables: o.variables}
	operationContext, errs := s.CreateOperationContext(ctx, params)
	if len(errs) > 0 {
		return graphql.OneShot(s.DispatchError(graphql.WithOperationContext(ctx, operationContext), errs)), ctx
	}
	return s.DispatchOperation(ctx, operationContext)
}

func (s server) ask(t *testing.T, o operation) string {
	t.Helper()
	return text(t, s.answer(t, o))
}

func (s server) answer(t *testing.T, o operation) *graphql.Response {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	respond, ctx := s.begin(t, ctx, o)
	response := respond(ctx)
	if again := respond(ctx); again != nil {
		t.Errorf("a second response: %s", text(t, again))
	}
	return response
}

// text returns a response as JSON, its errors sorted: gqlgen's order is that in which goroutines come to them.
func text(t *testing.T, r *graphql.Response) string {
	t.Helper()
	if r != nil && len(r.Errors) > 1 {
		sorted := *r
		sorted.Errors = slices.SortedFunc(slices.Values(r.Errors), func(a, b *gqlerror.Error) int {
			return strings.Compare(fmt.Sprint(a), fmt.Sprint(b))
		})
		r = &sorted
	}
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false) // keeps data as it is
	if err := encoder.Encode(r); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func TestRandomQueriesAreAnsweredAlike(t *testing.T) {
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

// TestQueryThatHasToWaitIsExecuted checks that it waits where the server counts what it executes.
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

// posted is an operation's answer over HTTP.
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

func (c *requestCounter) Responded(int, int)             {}
func (c *requestCounter) Repeated(string, time.Duration) { c.repeated++ }

func TestRandomSubscriptionsGetTheSame(t *testing.T) {
	p := newPulls()
	for i := range 3 {
		p.Publish(state(fmt.Sprint("pull-", i), pull.Pulling))
	}
	plain, once, _ := newServers(p)
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	w := &writer{Rand: random, schema: resolvers.NewSchema(&resolvers.Resolver{}).Schema()}
	results := 0
	for range 200 {
		o := w.subscription()
		ctx, cancel := context.WithCancel(t.Context())
		next := make([]func() string, 3)
		for i, s := range []server{plain, once, once} {
			respond, ctx := s.begin(t, ctx, o)
			next[i] = func() string { return text(t, respond(ctx)) }
		}
		for i := range o.follows + 2 {
			want := next[0]()
			for _, n := range next[1:] {
				if got := n(); got != want {
					t.Fatalf("seed %d: %s\n%v\ngot  %s\nwant %s", seed, o.document, o.variables, got, want)
				}
			}
			if !strings.HasPrefix(want, `{"data"`) {
				break // refused
			}
			results++
			if i >= o.follows-1 { // nobody has a state waiting that this one would take the place of
				p.Publish(state("pull-0", pull.Pulling))
			}
		}
		cancel()
	}
	if results < 200 {
		t.Errorf("seed %d: only %d results", seed, results)
	}
}

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

func TestWhatDiffersIsNotShared(t *testing.T) {
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

func TestAnUpdateIsRenderedOnceForAll(t *testing.T) {
	p := newPulls()
	p.Publish(state("a", pull.Pulling))
	p.Publish(state("b", pull.Pulling))
	_, once, metrics := newServers(p)
	document := "subscription($ids: [ID!], $brief: Boolean! = true) { pullJobUpdated(ids: $ids) { id message @skip(if: $brief) } }"
	ctx, cancel := context.WithCancel(t.Context())
	open := func(variables map[string]any) func() *graphql.Response {
		respond, ctx := once.begin(t, ctx, operation{document: document, variables: variables})
		return func() *graphql.Response { return respond(ctx) }
	}
	all := open(nil)
	one := open(map[string]any{"ids": []any{"b"}})
	other := open(map[string]any{"ids": []any{"b"}, "brief": false})
	a, b := all(), all()
	if got := one(); got != b || text(t, a) != `{"data":{"pullJobUpdated":{"id":"a"}}}` {
		t.Errorf("%p is not %p", got, b)
	}
	if got := other(); got == b {
		t.Error("an update is shared although a variable of its selection differs")
	}
	counts(t, metrics, "update", 3, 1)
	p.Publish(state("b", pull.Succeeded))
	if next, got := all(), one(); got != next || got == b {
		t.Errorf("after a change: %p, %p, before %p", next, got, b)
	}
	if got := one(); got != nil {
		t.Errorf("after the end: %s", text(t, got))
	}
	cancel()
	if got := all(); got != nil {
		t.Errorf("after the context's end: %s", text(t, got))
	}
}

// counts checks how often something was rendered and how often answered from memory.
func counts(t *testing.T, metrics *prometheus.Registry, kind string, rendered, hits float64) {
	t.Helper()
	families, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			labels := metric.GetLabel()
			if family.GetName() == "pullwatch_render_total" && labels[0].GetValue() == kind {
				got[labels[1].GetValue()] = metric.GetCounter().GetValue()
			}
		}
	}
	if got["rendered"] != rendered || got["hit"] != hits {
		t.Errorf("%s: %v; want %v rendered and %v hits", kind, got, rendered, hits)
	}
}

func TestAStaleListIsRenderedOnceForAll(t *testing.T) {
	p := newPulls()
	_, once, metrics := newServers(p)
	o := operation{document: "{ a: activePulls { id } failedPulls(limit: 1) { id } }"}
	fresh := once.answer(t, o)
	p.active.Stale = true
	for _, seconds := range []int{7, 9} {
		p.active.Age = time.Duration(seconds) * time.Second
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
	counts(t, metrics, "response", 1, 2)
}

func TestSubscriptionsThatHaveEndedTakeNoMemory(t *testing.T) {
	p := newPulls()
	p.Publish(state("a", pull.Pulling))
	_, once, _ := newServers(p)
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	const subscriptions, longest = 1000, 4 << 10
	before := heap()
	for i := range subscriptions {
		var document strings.Builder
		fmt.Fprintf(&document, "subscription { pullJobUpdated { a%d: id", i)
		for n := range 100 {
			fmt.Fprintf(&document, " a%d: phase", subscriptions+n)
		}
		document.WriteString(" } }")
		ctx, cancel := context.WithCancel(t.Context())
		respond, ctx := once.begin(t, ctx, operation{document: document.String()})
		respond(ctx)
		cancel()
		respond(ctx)
	}
	if grown := int(heap()-before) / subscriptions; grown > longest {
		t.Errorf("each keeps %d bytes", grown)
	}
	runtime.KeepAlive(once)
}

func TestFormsAreBounded(t *testing.T) {
	p := newPulls()
	_, once, _ := newServers(p)
	ctx, cancel := context.WithCancel(t.Context())
	long := "# " + strings.Repeat("x", 1<<20) + "\n"
	open := func(i int) *graphql.Response {
		document := fmt.Sprintf("%ssubscription { pullJobUpdated(ids: []) { a%d: id } }", long, i)
		respond, ctx := once.begin(t, ctx, operation{document: document})
		return respond(ctx)
	}
	for i := range 20 {
		if refused := open(i); refused != nil {
			t.Fatalf("%d, which has ended at once, was refused: %s", i, text(t, refused))
		}
	}
	respond := func(i int) *graphql.Response {
		document := fmt.Sprintf("%ssubscription { pullJobUpdated { a%d: id } }", long, i)
		respond, ctx := once.begin(t, ctx, operation{document: document})
		if i < 7 {
			return nil // it stays open
		}
		return respond(ctx)
	}
	for i := range 7 {
		respond(i)
	}
	if refused := respond(7); refused == nil || refused.Errors[0].Extensions["code"] != usererr.LimitExceeded {
		t.Errorf("got %v", refused)
	}
	cancel()
}
