package graphqlws

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/gorilla/websocket"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"pullwatch/internal/serve/transport/transporttest"
)

const benchQuery = `subscription($ids: [ID!]!) { pullJobUpdated(ids: $ids) { ` +
	`id image destination phase progress revision message startedAt finishedAt } }`

const benchSubscribe = `{"id":"1","type":"subscribe",` +
	`"payload":{"query":"` + benchQuery + `","variables":{"ids":["a"]}}}`

// fanOut is an executor whose subscriptions all get what is published.
type fanOut struct {
	mu        sync.Mutex
	sources   []*fanOutSource
	published atomic.Int64 // how often
	started   sync.WaitGroup
}

func (f *fanOut) CreateOperationContext(_ context.Context, p *graphql.RawParams) (
	*graphql.OperationContext, gqlerror.List,
) {
	return &graphql.OperationContext{RawQuery: p.Query, Variables: p.Variables, Headers: p.Headers}, nil
}
func (f *fanOut) DispatchError(_ context.Context, errs gqlerror.List) *graphql.Response {
	return &graphql.Response{Errors: errs}
}
func (f *fanOut) DispatchOperation(ctx context.Context, _ *graphql.OperationContext) (
	graphql.ResponseHandler, context.Context,
) {
	Push(ctx, &fanOutSource{fanOut: f})
	return nil, ctx
}

func (f *fanOut) publish() {
	f.published.Add(1)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, source := range f.sources {
		source.ready()
	}
}

// fanOutSource is the source of one of the subscriptions.
type fanOutSource struct {
	fanOut *fanOut
	ready  func()
	sent   int64
}

func (s *fanOutSource) Start(ready func()) {
	s.ready = ready
	s.fanOut.mu.Lock()
	s.fanOut.sources = append(s.fanOut.sources, s)
	s.fanOut.mu.Unlock()
	s.fanOut.started.Done()
}

func (s *fanOutSource) Next() (*graphql.Response, error) {
	published := s.fanOut.published.Load()
	if s.sent == published {
		return nil, nil
	}
	s.sent = published
	return updateResponse, nil
}

func (s *fanOutSource) Close() {}

// connect opens n connections and initialises them. They are gone when stop returns.
func connect(b *testing.B, n int) (f *fanOut, c *clients, stop func()) {
	f = &fanOut{}
	transport := New(Options{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		transport.Do(w, r, f)
	}))
	c = startClients(b, server.Listener.Addr().String(), n)
	c.order(b, initMessage, textFrame([]byte(ackMessage)), false)
	c.await(b)
	return f, c, func() {
		c.stop(b)
		transporttest.Drain(b, transport)
		server.Close()
	}
}

// subscribe gives each of n clients a subscription that has had an update.
func (f *fanOut) subscribe(b *testing.B, c *clients, n int) {
	f.started.Add(n)
	c.order(b, benchSubscribe, updateFrame, true)
	f.started.Wait()
	f.publish()
	c.await(b)
}

// BenchmarkSubscriber measures what connections cost the server, idle and with one subscription that has had an update.
func BenchmarkSubscriber(b *testing.B) {
	for _, n := range []int{1000, 10_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			for b.Loop() {
				measure(b, n)
			}
		})
	}
}

func measure(b *testing.B, n int) {
	before := usage()
	f, c, stop := connect(b, n)
	defer stop()
	idle := usage()
	f.subscribe(b, c, n)
	subscribed := usage()
	report := func(name string, u used) {
		b.ReportMetric(float64(u.heap-before.heap)/float64(n), "heap-B/"+name)
		b.ReportMetric(float64(u.stack-before.stack)/float64(n), "stack-B/"+name)
		b.ReportMetric(float64(u.goroutines-before.goroutines)/float64(n), "goroutines/"+name)
	}
	report("idle", idle)
	report("subscribed", subscribed)
}

type used struct{ heap, stack, goroutines int64 }

// usage is what is in use after collections, several because a goroutine's stack shrinks by half in each.
func usage() used {
	for range 6 {
		runtime.GC()
	}
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return used{int64(m.HeapAlloc), int64(m.StackInuse), int64(runtime.NumGoroutine())}
}

const fanOutClients = 3000

// BenchmarkFanOut measures one update to many subscribers.
func BenchmarkFanOut(b *testing.B) {
	f, c, stop := connect(b, fanOutClients)
	defer stop()
	f.subscribe(b, c, fanOutClients)
	benchmarkFanOut(b, c, f.publish)
}

// BenchmarkFanOutPrepared is what gorilla can do: one prepared message, written to as many sockets one after the other
// by as many goroutines as there are processors.
func BenchmarkFanOutPrepared(b *testing.B) {
	accepted := make(chan *websocket.Conn, fanOutClients)
	upgrader := websocket.Upgrader{Subprotocols: []string{Subprotocol}, WriteBufferPool: &sync.Pool{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			b.Error(err)
			return
		}
		accepted <- conn
	}))
	defer server.Close()
	c := startClients(b, server.Listener.Addr().String(), fanOutClients)
	defer c.stop(b)
	groups := make([][]*websocket.Conn, runtime.GOMAXPROCS(0))
	for i := range fanOutClients {
		conn := <-accepted
		defer conn.Close()
		groups[i%len(groups)] = append(groups[i%len(groups)], conn)
	}
	message, err := websocket.NewPreparedMessage(websocket.TextMessage, appendResult(nil, "next", `"1"`, update, rest{}))
	if err != nil {
		b.Fatal(err)
	}
	publish := func() {
		var writers sync.WaitGroup
		for _, group := range groups {
			writers.Go(func() {
				for _, conn := range group {
					if err := conn.SetWriteDeadline(time.Now().Add(10 * time.Second)); err != nil {
						b.Error(err)
					}
					if err := conn.WritePreparedMessage(message); err != nil {
						b.Error(err)
					}
				}
			})
		}
		writers.Wait()
	}
	c.order(b, "", updateFrame, true)
	publish()
	c.await(b)
	benchmarkFanOut(b, c, publish)
}

// benchmarkFanOut measures how long it takes until all clients have got what publish sends, and what it costs the
// server.
func benchmarkFanOut(b *testing.B, c *clients, publish func()) {
	runtime.GC()
	before := processorTime(b)
	for b.Loop() {
		publish()
		c.await(b)
	}
	messages := float64(fanOutClients * b.N)
	b.ReportMetric(messages/b.Elapsed().Seconds(), "messages/s")
	b.ReportMetric(float64((processorTime(b)-before).Nanoseconds())/messages, "server-ns/message")
}

// processorTime is what this process has used.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

var update = []byte(`{"pullJobUpdated":{"id":"a","image":"docker.io/library/nginx:1.27",` +
	`"destination":"registry.example/library/nginx:1.27","phase":"PULLING","progress":0.42,"revision":"123456",` +
	`"message":"4 of 7 layers","startedAt":"2026-01-01T00:00:00Z","finishedAt":null}}`)

var updateResponse = &graphql.Response{Data: json.RawMessage(update)}

var updateFrame = textFrame(appendResult(nil, "next", `"1"`, update, rest{}))

func textFrame(text []byte) []byte {
	return appendFrame(nil, websocket.TextMessage, func(b []byte) []byte { return append(b, text...) })
}
