package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"pullwatch/cache"
	"pullwatch/internal/budget"
	"pullwatch/internal/feed"
	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/follow"
	"pullwatch/internal/pull"
	"pullwatch/internal/serve/executor"
	"pullwatch/internal/serve/render"
	"pullwatch/internal/turns"
	"pullwatch/internal/usererr"
	"pullwatch/resolvers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// backend is all that the resolvers use.
type backend struct {
	*feed.Hub
	active func() ([]*pull.State, error)
	reads  atomic.Uint64
	// unchanged means that lists are the same at each read, so that answers come from memory.
	unchanged bool
	logs      resolvers.Logs // nil when there are none
	// started is the last request to start pulls.
	started pull.StartRequest
	queue   pull.Queue
}

func (b *backend) Active(context.Context) (cache.Result, error) {
	jobs, err := b.active()
	if generation := b.reads.Add(1); !b.unchanged {
		return cache.Result{States: jobs, Generation: generation}, err
	}
	return cache.Result{States: jobs, Generation: 1}, err
}

func (b *backend) Failed(_ context.Context, n int) (cache.Result, error) {
	return cache.Result{Stale: true, Age: 90 * time.Second}, nil
}

func (b *backend) Require(uint64) {}

func (b *backend) Find(context.Context, string) (*pull.State, error) { return nil, nil }

func (b *backend) Cancel(context.Context, string) (*pull.State, error) {
	return nil, usererr.Wrap(errors.New("dial tcp 10.1.2.3: secret"), usererr.Unavailable, "Kubernetes does not answer")
}

func (b *backend) Retry(ctx context.Context, id string) (*pull.State, error) {
	return b.Cancel(ctx, id)
}

func (b *backend) Hold(ctx context.Context, id string) (*pull.State, error) {
	return b.Cancel(ctx, id)
}

func (b *backend) Release(ctx context.Context, id string) (*pull.State, error) {
	return b.Cancel(ctx, id)
}

func (b *backend) Queue(context.Context) (*pull.Queue, error) { return &b.queue, nil }

func (b *backend) PauseQueue(_ context.Context, reason string) (*pull.Queue, error) {
	b.queue = pull.Queue{Paused: true, Reason: &reason, Since: &time.Time{}}
	return &b.queue, nil
}

func (b *backend) ResumeQueue(context.Context) (*pull.Queue, error) {
	b.queue = pull.Queue{}
	return &b.queue, nil
}

func (b *backend) Start(_ context.Context, asked pull.StartRequest) ([]*pull.StartResult, error) {
	b.started = asked
	return []*pull.StartResult{{Image: asked.Images[0], Error: usererr.New(usererr.BadInput, "no")}}, nil
}

func (b *backend) Stream(ctx context.Context, in podlog.Input) (*follow.Stream, error) {
	if b.logs != nil {
		return b.logs.Stream(ctx, in)
	}
	return nil, usererr.New(usererr.NotFound, "there is no such pod")
}

// served is a running Server.
type served struct {
	url     string
	backend *backend
	ready   error
	metrics *prometheus.Registry
	turns   *turns.Turns
	page    http.HandlerFunc // http.NotFound unless it is set before the first request
	log     lines            // at the default level
	stop    func() error     // ends it and waits
}

// testLimits are the defaults of the flags.
var testLimits = Limits{
	PingInterval: 54 * time.Second, PongWait: time.Minute, WriteTimeout: 10 * time.Second, InitTimeout: 10 * time.Second,
	MaxConnections: 20_000, MaxSubscriptions: 100, MaxMessage: 64 << 10, MaxOperations: 1_000, Introspection: true,
}

func serve(t *testing.T) *served {
	t.Helper()
	return serveWithin(t, testLimits)
}

func serveWithin(t *testing.T, limits Limits) *served {
	t.Helper()
	return serveWithMemory(t, limits, 1<<30)
}

// serveWithMemory serves with a budget of so many bytes. When the server has stopped, all must have been given back.
func serveWithMemory(t *testing.T, limits Limits, memory int64, change ...func(*Options)) *served {
	t.Helper()
	s, server := newServed(limits, memory, change...)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.url = "http://" + listener.Addr().String()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, listener) }()
	s.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
		for kind, bytes := range s.memory(t) {
			if bytes != 0 {
				t.Errorf("%v bytes of memory for %s are left", bytes, kind)
			}
		}
	})
	return s
}

// newServed returns a Server that does not run yet, and what it serves.
func newServed(limits Limits, memory int64, change ...func(*Options)) (*served, *Server) {
	b := &backend{Hub: feed.New("r"), active: func() ([]*pull.State, error) { return []*pull.State{{ID: "a", Phase: pull.Queued}}, nil }}
	b.SetSynced()
	s := &served{backend: b, page: http.NotFound}
	logger := slog.New(slog.NewTextHandler(&s.log, nil))
	s.metrics = prometheus.NewRegistry()
	s.turns = turns.New(1)
	failures := executor.NewErrors(logger, s.metrics)
	schema := resolvers.NewSchema(&resolvers.Resolver{Lists: b, Pulls: b, Updates: b, Logs: b})
	renderer := render.New(render.Options{
		MaxKept: 64 << 20, Turns: s.turns,
		Schema: schema, Lists: b, PresentError: failures.Present, Recover: failures.Recover,
		Metrics: render.NewMetrics(s.metrics),
	})
	options := Options{
		Limits: limits, Memory: budget.New(memory, s.metrics), Turns: s.turns, CachedDocuments: 32 << 20,
		Schema: schema, Errors: failures, Middleware: renderer.Operation, ActivePulls: b.ActiveCount,
		Page: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.page(w, r) }), Ready: func() error { return s.ready },
		Loopback: true, AllowedOrigins: []string{"https://dash.example"},
		Metrics: s.metrics, DrainTimeout: 5 * time.Second, Logger: logger,
	}
	for _, c := range change {
		c(&options)
	}
	return s, New(options)
}

// lines are what a logger wrote.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// all returns the lines that there are by now.
func (l *lines) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(strings.Lines(l.text.String()))
}

// response is what a client gets.
type response struct {
	Data   json.RawMessage
	Errors []struct {
		Message    string
		Path       []any
		Extensions struct{ Code string }
	}
	Extensions json.RawMessage
}

func (s *served) post(t *testing.T, query string, variables any) response {
	t.Helper()
	body, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.Post(s.url+"/graphql", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, answer)
}

func decode(t *testing.T, answer *http.Response) response {
	t.Helper()
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	var r response
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return r
}

// numbered returns n texts made with their number, one after the other.
func numbered(n int, format string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.ReplaceAll(format, "#", strconv.Itoa(i)))
	}
	return b.String()
}
