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
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"pullwatch/cache"
	"pullwatch/internal/budget"
	"pullwatch/internal/feed"
	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/follow"
	"pullwatch/internal/pull"
	"pullwatch/internal/serve/render"
	"pullwatch/internal/turns"
	"pullwatch/internal/usererr"
	"pullwatch/resolvers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// backend is all that the resolvers ask.
type backend struct {
	*feed.Hub
	active func() ([]*pull.Job, error)
	reads  atomic.Uint64
	logs   resolvers.Logs // nil when there are none
	// started is what was last asked to start.
	started pull.StartRequest
}

func (b *backend) Active(context.Context) (cache.Result, error) {
	jobs, err := b.active()
	return cache.Result{Jobs: jobs, Generation: b.reads.Add(1)}, err
}
func (b *backend) Failed(_ context.Context, n int) (cache.Result, error) {
	return cache.Result{Stale: true, Age: 90 * time.Second}, nil
}
func (b *backend) Require(uint64)                                  {}
func (b *backend) Find(context.Context, string) (*pull.Job, error) { return nil, nil }
func (b *backend) Cancel(context.Context, string) (*pull.Job, error) {
	return nil, usererr.Wrap(errors.New("dial tcp 10.1.2.3: secret"), usererr.Unavailable, "Kubernetes does not answer")
}
func (b *backend) Retry(ctx context.Context, id string) (*pull.Job, error) { return b.Cancel(ctx, id) }
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

// serveWithMemory serves with so many bytes for clients. When the server has stopped, nothing may be left of what was
// taken of them.
func serveWithMemory(t *testing.T, limits Limits, memory int64) *served {
	t.Helper()
	s, server := newServed(limits, memory)
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

// newServed returns a Server, and what it serves, that does not run yet.
func newServed(limits Limits, memory int64) (*served, *Server) {
	b := &backend{Hub: feed.New("r"), active: func() ([]*pull.Job, error) { return []*pull.Job{{ID: "a", Phase: pull.Queued}}, nil }}
	b.SetSynced()
	s := &served{backend: b, page: http.NotFound}
	log := slog.New(slog.NewTextHandler(&s.log, nil))
	s.metrics = prometheus.NewRegistry()
	s.turns = turns.New(1)
	failures := resolvers.NewErrors(log, s.metrics)
	schema := resolvers.NewSchema(&resolvers.Resolver{Lists: b, Pulls: b, Updates: b, Logs: b})
	renderer := render.New(render.Options{
		MaxKept: 64 << 20, Turns: s.turns,
		Schema: schema, Lists: b, PresentError: failures.Present, Recover: failures.Recover,
		Metrics: render.NewMetrics(s.metrics),
	})
	server := New(Options{
		Limits: limits, Memory: budget.New(memory, s.metrics), Turns: s.turns, KnownDocuments: 32 << 20,
		Schema: schema, Errors: failures, Middleware: renderer.Operation, ActivePulls: b.ActiveCount,
		Page: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.page(w, r) }), Ready: func() error { return s.ready },
		Loopback: true, AllowedOrigins: []string{"https://dash.example"},
		Metrics: s.metrics, DrainTimeout: 5 * time.Second, Log: log,
	})
	return s, server
}

// lines are those of a log.
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

func TestErrorsHaveCodes(t *testing.T) {
	s := serve(t)
	for name, c := range map[string]struct {
		query     string
		variables any
		code      string
		message   string
	}{
		"syntax":               {"{", nil, "BAD_INPUT", "Expected Name"},
		"unknown field":        {"{nope}", nil, "BAD_INPUT", "nope"},
		"missing variable":     {"query($id: ID!){pullJob(id: $id){id}}", nil, "BAD_INPUT", "id"},
		"variable of bad type": {"query($n: Int!){failedPulls(limit: $n){id}}", map[string]any{"n": "x"}, "BAD_INPUT", ""},
		"fractional Int":       {"query($n: Int!){failedPulls(limit: $n){id}}", map[string]any{"n": 1.5}, "BAD_INPUT", ""},
		"limit 0":              {"{failedPulls(limit: 0){id}}", nil, "BAD_INPUT", "limit is 0; it must be 1 to 500"},
		"limit 501":            {"{failedPulls(limit: 501){id}}", nil, "BAD_INPUT", "it must be 1 to 500"},
		"unavailable":          {`mutation{cancelPull(id: "a"){id}}`, nil, "UNAVAILABLE", "Kubernetes does not answer"},
		"subscription by POST": {"subscription{pullJobUpdated{id}}", nil, "BAD_INPUT", "WebSocket"},
		"many aliases":         {"{" + manyAliases() + "}", nil, "LIMIT_EXCEEDED", "it may have"},
		"no operation":         {"fragment f on PullJob{id}", nil, "BAD_INPUT", "no operation"},
		"two operations":       {"query a{activePulls{id}}query b{activePulls{id}}", nil, "BAD_INPUT", "2 operations: name one"},
		"long lists":           {"{" + longLists() + "}", nil, "LIMIT_EXCEEDED", ""},
		"too many tokens":      {"{" + strings.Repeat("x ", 20_000) + "}", nil, "LIMIT_EXCEEDED", "10000 tokens"},
	} {
		t.Run(name, func(t *testing.T) {
			r := s.post(t, c.query, c.variables)
			if len(r.Errors) == 0 || r.Errors[0].Extensions.Code != c.code || !strings.Contains(r.Errors[0].Message, c.message) {
				t.Errorf("%+v; want %s %q", r.Errors, c.code, c.message)
			}
			for _, e := range r.Errors {
				if strings.Contains(e.Message, "secret") {
					t.Errorf("internals reach the client: %s", e.Message)
				}
			}
		})
	}
}

func manyAliases() string {
	var b strings.Builder
	for i := range 600 {
		b.WriteString(" x" + string(rune('a'+i%26)) + strings.Repeat("y", i/26) + ":activePulls{id message phase}")
	}
	return b.String()
}

func longLists() string {
	var b strings.Builder
	for i := range 26 {
		b.WriteString(" x" + string(rune('a'+i)) + ":failedPulls(limit:500){id message failure{message remedy logTail}}")
	}
	return b.String()
}

func TestInternalErrorsAreMasked(t *testing.T) {
	s := serve(t)
	for name, active := range map[string]func() ([]*pull.Job, error){
		"error": func() ([]*pull.Job, error) { return nil, errors.New("secret") },
		"panic": func() ([]*pull.Job, error) { panic("secret") },
	} {
		s.backend.active = active
		r := s.post(t, "{activePulls{id}}", nil)
		if len(r.Errors) != 1 || r.Errors[0].Extensions.Code != "INTERNAL" || strings.Contains(r.Errors[0].Message, "secret") || len(r.Errors[0].Path) != 1 {
			t.Errorf("%s: %+v", name, r.Errors)
		}
	}
}

func TestGET(t *testing.T) {
	s := serve(t)
	get := func(query string) response {
		answer, err := http.Get(s.url + "/graphql?query=" + url.QueryEscape(query))
		if err != nil {
			t.Fatal(err)
		}
		return decode(t, answer)
	}
	if r := get("{activePulls{id}}"); string(r.Data) != `{"activePulls":[{"id":"a"}]}` {
		t.Errorf("%s %+v", r.Data, r.Errors)
	}
	if r := get(`mutation{cancelPull(id: "a"){id}}`); len(r.Errors) != 1 || r.Errors[0].Extensions.Code != "BAD_INPUT" {
		t.Errorf("a mutation by GET: %+v", r)
	}
}

func TestFormsAreRefused(t *testing.T) {
	s := serve(t)
	for _, kind := range []string{"application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"} {
		answer, err := http.Post(s.url+"/graphql", kind, strings.NewReader(`{"query":"mutation{cancelPull(id: \"a\"){id}}"}`))
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode < 400 {
			t.Errorf("a page of another origin can post %s without being asked: %s", kind, answer.Status)
		}
	}
}

func TestUnreadableRequests(t *testing.T) {
	s := serve(t)
	for _, body := range []string{"", "{", "null", "[]", `{"query":1}`, `{"query":"{activePulls{id}}","variables":[]}`, "\xff"} {
		answer, err := http.Post(s.url+"/graphql", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if r := decode(t, answer); len(r.Errors) == 0 || r.Errors[0].Extensions.Code != "BAD_INPUT" || len(r.Errors[0].Message) > 1000 {
			t.Errorf("%.50q: %+v", body, r.Errors)
		}
	}
	for _, query := range []string{"", "?query=%zz", "?query={activePulls{id}}&variables=x", "?query={activePulls{id}}&variables=[]"} {
		answer, err := http.Get(s.url + "/graphql" + query)
		if err != nil {
			t.Fatal(err)
		}
		if r := decode(t, answer); len(r.Errors) == 0 || r.Errors[0].Extensions.Code != "BAD_INPUT" {
			t.Errorf("%q: %+v", query, r.Errors)
		}
	}
}

func TestLargeRequests(t *testing.T) {
	s := serve(t)
	answer, err := http.Post(s.url+"/graphql", "application/json", strings.NewReader(strings.Repeat("x", 2<<20)))
	if err != nil {
		t.Fatal(err)
	}
	if r := decode(t, answer); answer.StatusCode != http.StatusRequestEntityTooLarge || len(r.Errors) == 0 || r.Errors[0].Extensions.Code != "LIMIT_EXCEEDED" {
		t.Errorf("%s: %+v", answer.Status, r.Errors)
	}
}

func TestReadiness(t *testing.T) {
	s := serve(t)
	status := func(path string) int {
		answer, err := http.Get(s.url + path)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer.StatusCode
	}
	s.ready = errors.New("not yet")
	if got := status("/readyz"); got != http.StatusServiceUnavailable {
		t.Error(got)
	}
	s.ready = nil
	for _, path := range []string{"/readyz", "/healthz", "/metrics"} {
		if got := status(path); got != http.StatusOK {
			t.Errorf("%s: %d", path, got)
		}
	}
}

func (s *served) dial(t *testing.T, header http.Header) (*websocket.Conn, error) {
	t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{"graphql-transport-ws"}}
	conn, answer, err := dialer.Dial("ws"+strings.TrimPrefix(s.url, "http")+"/graphql", header)
	if err != nil {
		if answer != nil {
			answer.Body.Close()
		}
		return nil, err
	}
	t.Cleanup(func() { conn.Close() })
	return conn, nil
}

type message struct {
	ID      string          `json:"id,omitempty"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload,omitempty"`
}

// subscribe opens a WebSocket with one operation.
func (s *served) subscribe(t *testing.T, query string) *websocket.Conn {
	t.Helper()
	conn, err := s.dial(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	payload, _ := json.Marshal(map[string]string{"query": query})
	for _, m := range []message{{Type: "connection_init"}, {ID: "1", Type: "subscribe", Payload: payload}} {
		if err := conn.WriteJSON(m); err != nil {
			t.Fatal(err)
		}
	}
	if m := read(t, conn); m.Type != "connection_ack" {
		t.Fatalf("%+v", m)
	}
	return conn
}

func read(t *testing.T, conn *websocket.Conn) message {
	t.Helper()
	for {
		var m message
		if err := conn.ReadJSON(&m); err != nil {
			t.Fatal(err)
		}
		if m.Type != "ka" && m.Type != "ping" && m.Type != "pong" {
			return m
		}
	}
}

func TestSubscription(t *testing.T) {
	s := serve(t)
	s.backend.Publish(&pull.Job{ID: "a", Phase: pull.Queued})
	conn := s.subscribe(t, `subscription{pullJobUpdated(ids: ["a"]){phase}}`)
	for i, phase := range []pull.Phase{pull.Queued, pull.Pulling, pull.Succeeded} {
		if phase != pull.Queued {
			s.backend.Publish(&pull.Job{ID: "a", Phase: phase, Revision: pull.Revision{Cluster: uint64(i)}})
		}
		if m := read(t, conn); m.Type != "next" || !strings.Contains(string(m.Payload), `"phase":"`+string(phase)+`"`) {
			t.Fatalf("%s %s; want %s", m.Type, m.Payload, phase)
		}
	}
	if m := read(t, conn); m.Type != "complete" {
		t.Errorf("%s %s", m.Type, m.Payload)
	}
}

func TestSubscriptionErrors(t *testing.T) {
	s := serve(t)
	for query, code := range map[string]string{
		`subscription{pullJobUpdated(ids: ["nope"]){id}}`:                                 "NOT_FOUND",
		`subscription{podLogs(input: {namespace: "x", pod: "y"}){cursor}}`:                "NOT_FOUND",
		`subscription{podLogs(input: {namespace: "x", pod: "y", since: "soon"}){cursor}}`: "BAD_INPUT",
		`subscription{nope}`: "BAD_INPUT",
		`subscription{a: pullJobUpdated{id} b: pullJobUpdated{id}}`: "BAD_INPUT",
	} {
		m := read(t, s.subscribe(t, query))
		if !strings.Contains(string(m.Payload), `"code":"`+code+`"`) {
			t.Errorf("%s: %s %s; want %s", query, m.Type, m.Payload, code)
		}
	}
}

func TestOrigins(t *testing.T) {
	s := serve(t)
	for origin, allowed := range map[string]bool{
		"": true, s.url: true, "https://dash.example": true, "https://evil.example": false, "https://dash.example.evil": false, "null": false,
	} {
		header := http.Header{}
		if origin != "" {
			header.Set("Origin", origin)
		}
		if _, err := s.dial(t, header); (err == nil) != allowed {
			t.Errorf("origin %q: %v", origin, err)
		}
	}
}

func TestHosts(t *testing.T) {
	s := serve(t)
	for host, status := range map[string]int{
		"localhost:8080": 200, "127.0.0.1": 200, "[::1]:8080": 200, "dash.example": 200, "evil.example:8080": 421, "10.1.2.3": 421, "localhost.evil.example": 421,
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/healthz", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = host
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != status {
			t.Errorf("%s: %s, want %d", host, answer.Status, status)
		}
	}
}

func TestStoppingEndsSubscriptions(t *testing.T) {
	s := serve(t)
	s.backend.Publish(&pull.Job{ID: "a", Phase: pull.Queued})
	conn := s.subscribe(t, `subscription{pullJobUpdated{phase}}`)
	read(t, conn)
	go s.stop() // serve tells its error
	for {
		_, text, err := conn.ReadMessage()
		if err == nil {
			if strings.Contains(string(text), "complete") {
				t.Error("the subscription was completed: no client comes back for it")
			}
			continue
		}
		if !websocket.IsCloseError(err, websocket.CloseServiceRestart) {
			t.Errorf("closed with %v; 1012 makes clients come back, a little later each time", err)
		}
		return
	}
}

func TestStaleListsTellTheirAge(t *testing.T) {
	s := serve(t)
	fresh := s.post(t, `{ activePulls { id } }`, nil)
	if len(fresh.Extensions) > 0 {
		t.Errorf("a fresh list came with %s", fresh.Extensions)
	}
	stale := s.post(t, `{ a: failedPulls { id } b: failedPulls(limit: 1) { id } }`, nil)
	const want = `{"stale":{"a":{"ageSeconds":90},"b":{"ageSeconds":90}}}`
	if string(stale.Extensions) != want {
		t.Errorf("a stale list came with %s", stale.Extensions)
	}
}
