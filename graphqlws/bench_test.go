package graphqlws

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/gorilla/websocket"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

const benchQuery = `subscription($ids: [ID!]!) { pullJobUpdated(ids: $ids) { id image destination phase progress revision message startedAt finishedAt } }`

const benchSubscribe = `{"id":"1","type":"subscribe","payload":{"query":"` + benchQuery + `","variables":{"ids":["a"]}}}`

// fanOut is an executor whose subscriptions all get what is published.
type fanOut struct {
	mu          sync.Mutex
	subscribers []chan []byte
	ready       sync.WaitGroup // for each that is to subscribe
}

func (f *fanOut) CreateOperationContext(_ context.Context, p *graphql.RawParams) (*graphql.OperationContext, gqlerror.List) {
	return &graphql.OperationContext{RawQuery: p.Query, Variables: p.Variables, Headers: p.Headers}, nil
}
func (f *fanOut) DispatchError(_ context.Context, errs gqlerror.List) *graphql.Response {
	return &graphql.Response{Errors: errs}
}
func (f *fanOut) DispatchOperation(ctx context.Context, _ *graphql.OperationContext) (graphql.ResponseHandler, context.Context) {
	updates := make(chan []byte, 1)
	f.mu.Lock()
	f.subscribers = append(f.subscribers, updates)
	f.mu.Unlock()
	f.ready.Done()
	return func(ctx context.Context) *graphql.Response {
		select {
		case data := <-updates:
			return &graphql.Response{Data: json.RawMessage(data)}
		case <-ctx.Done():
			return nil
		}
	}, ctx
}

// rawClient is the client's side of a WebSocket with as little memory as there can be.
type rawClient struct{ net.Conn }

func (c rawClient) send(b *testing.B, text string) {
	frame := binary.BigEndian.AppendUint16([]byte{0x81, 0x80 | 126}, uint16(len(text)))
	frame = append(frame, 0, 0, 0, 0) // a mask that changes nothing
	if _, err := c.Write(append(frame, text...)); err != nil {
		b.Fatal(err)
	}
}

// expect reads as many bytes as it wants to see.
func (c rawClient) expect(b *testing.B, want []byte) {
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
		b.Fatalf("%q %v", got, err)
	}
}

const handshake = "GET / HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\nUser-Agent: bench\r\n\r\n"

const handshakeAnswer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"

func dialRaw(b *testing.B, address string) rawClient {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := io.WriteString(conn, handshake); err != nil {
		b.Fatal(err)
	}
	c := rawClient{conn}
	c.expect(b, []byte(handshakeAnswer))
	return c
}

// connect opens n connections and initialises them.
func connect(b *testing.B, n int) (*fanOut, []rawClient) {
	f := &fanOut{}
	transport := New(Options{})
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { transport.Do(w, r, f) })}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()
	clients := make([]rawClient, n)
	b.Cleanup(func() {
		for _, c := range clients {
			c.Close()
		}
		drain(b, transport)
		server.Close()
	})
	ack := appendFrame(nil, websocket.TextMessage, func(b []byte) []byte { return append(b, ackMessage...) })
	for i := range clients {
		clients[i] = dialRaw(b, listener.Addr().String())
		clients[i].send(b, initMessage)
		clients[i].expect(b, ack)
	}
	return f, clients
}

// subscribe gives each client a subscription, and an update to each.
func (f *fanOut) subscribe(b *testing.B, clients []rawClient) {
	f.ready.Add(len(clients))
	for _, c := range clients {
		c.send(b, benchSubscribe)
	}
	f.ready.Wait()
	for _, subscriber := range f.subscribers {
		subscriber <- update
	}
	for _, c := range clients {
		c.expect(b, updateFrame)
	}
}

// BenchmarkSubscriber measures what connections cost the server, idle and with one subscription that has had an update. The
// client's side of the sockets is counted as well.
func BenchmarkSubscriber(b *testing.B) {
	for _, n := range []int{1000, 5000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			for b.Loop() {
				measure(b, n)
			}
		})
	}
}

func measure(b *testing.B, n int) {
	before := usage()
	f, clients := connect(b, n)
	idle := usage()
	f.subscribe(b, clients)
	subscribed := usage()
	report := func(name string, u used) {
		b.ReportMetric(float64(u.heap-before.heap)/float64(n), "heap-B/"+name)
		b.ReportMetric(float64(u.stack-before.stack)/float64(n), "stack-B/"+name)
		b.ReportMetric(float64(u.goroutines-before.goroutines)/float64(n), "goroutines/"+name)
	}
	report("idle", idle)
	report("subscribed", subscribed)
	runtime.KeepAlive(clients)
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

// BenchmarkFanOut measures one update to many subscribers, clients included.
func BenchmarkFanOut(b *testing.B) {
	f, clients := connect(b, fanOutClients)
	f.subscribe(b, clients)
	benchmarkFanOut(b, clients, func() {
		for _, subscriber := range f.subscribers {
			subscriber <- update
		}
	})
}

// BenchmarkFanOutPrepared is what gorilla can do: one prepared message, written to the same sockets one after the other by as
// many goroutines as there are processors.
func BenchmarkFanOutPrepared(b *testing.B) {
	conns := make(chan *websocket.Conn, fanOutClients)
	upgrader := websocket.Upgrader{Subprotocols: []string{Subprotocol}, WriteBufferPool: &sync.Pool{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			b.Error(err)
			return
		}
		conns <- conn
	}))
	b.Cleanup(server.Close)
	var clients []rawClient
	b.Cleanup(func() {
		for _, c := range clients {
			c.Close()
		}
	})
	groups := make([][]*websocket.Conn, runtime.GOMAXPROCS(0))
	for i := range fanOutClients {
		clients = append(clients, dialRaw(b, server.Listener.Addr().String()))
		conn := <-conns
		b.Cleanup(func() { conn.Close() })
		groups[i%len(groups)] = append(groups[i%len(groups)], conn)
	}
	message, err := websocket.NewPreparedMessage(websocket.TextMessage, appendNext(nil, []byte(`"1"`), update, rest{}))
	if err != nil {
		b.Fatal(err)
	}
	benchmarkFanOut(b, clients, func() {
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
	})
}

// benchmarkFanOut measures how long it takes until all clients have got what publish sends.
func benchmarkFanOut(b *testing.B, clients []rawClient, publish func()) {
	var readers, received sync.WaitGroup
	for _, c := range clients {
		readers.Go(func() {
			buffer := make([]byte, len(updateFrame))
			for {
				if _, err := io.ReadFull(c, buffer); err != nil {
					return // closed
				}
				received.Done()
			}
		})
	}
	b.Cleanup(func() {
		for _, c := range clients {
			c.Close()
		}
		readers.Wait()
	})
	for b.Loop() {
		received.Add(len(clients))
		publish()
		received.Wait()
	}
	b.ReportMetric(float64(len(clients)*b.N)/b.Elapsed().Seconds(), "messages/s")
}

var update = []byte(`{"pullJobUpdated":{"id":"a","image":"docker.io/library/nginx:1.27","destination":"registry.example/library/nginx:1.27","phase":"PULLING","progress":0.42,"revision":"123456","message":"4 of 7 layers","startedAt":"2026-01-01T00:00:00Z","finishedAt":null}}`)

var updateFrame = appendFrame(nil, websocket.TextMessage, func(b []byte) []byte { return appendNext(b, []byte(`"1"`), update, rest{}) })
