package render_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
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

	"pullwatch/cache"
	"pullwatch/internal/feed"
	"pullwatch/internal/pull"
	"pullwatch/internal/serve/executor"
	"pullwatch/internal/serve/render"
	"pullwatch/internal/turns"
	"pullwatch/resolvers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pulls are what the resolvers use: lists that a test changes, and a Hub.
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
	p.SetSynced()
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
	result.States = result.States[:min(limit, len(result.States))]
	return result, p.err
}

func (p *pulls) Require(uint64) {}

func (p *pulls) Find(context.Context, string) (*pull.State, error) { return nil, nil }

var revision atomic.Uint64

// state returns a new state of a pull.
func state(id string, phase pull.Phase) *pull.State {
	n := revision.Add(1)
	at := time.Unix(int64(n), 5)
	text := fmt.Sprintf("no. %d \"quoted\" <é> \u2028", n)
	j := &pull.State{
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
	before := p.active.States
	p.active = cache.Result{Generation: revision.Add(1)}
	p.failed = cache.Result{Generation: revision.Add(1)}
	for i := range int(p.active.Generation % 5) {
		s := state(fmt.Sprint("pull-", i), pull.Pulling)
		if i < len(before) && p.active.Generation%3 > 0 && i%2 == 0 { // it has not changed
			s = before[i]
		}
		p.active.States = append(p.active.States, s)
		p.failed.States = append(p.failed.States, state(fmt.Sprint("failed-", i), pull.Failed))
	}
}

// server executes operations.
type server struct{ *gqlgen.Executor }

// newServers returns a server of gqlgen alone, and one with a Renderer.
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
