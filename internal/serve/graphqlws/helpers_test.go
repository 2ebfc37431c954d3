package graphqlws

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/gorilla/websocket"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"go.uber.org/goleak"

	"pullwatch/internal/serve/jsonreader"
	"pullwatch/internal/serve/transport/transporttest"
	"pullwatch/internal/usererr"
)

func TestMain(m *testing.M) {
	if config := os.Getenv(clientsVariable); config != "" {
		if err := playClients(config); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// script is a graphql.GraphExecutor. A query is the name of what it does.
type script struct {
	*transporttest.Script
	// source returns what "push" gets its results from.
	source func(context.Context) Source
}

func newScript() *script { return &script{Script: transporttest.NewScript()} }

func (s *script) CreateOperationContext(_ context.Context, p *graphql.RawParams) (*graphql.OperationContext, gqlerror.List) {
	switch cmp.Or(p.Query, jsonreader.DocumentID(p)) {
	case "invalid":
		return nil, gqlerror.List{gqlerror.Errorf("invalid")}
	case "panic early":
		panic("secret")
	}
	return &graphql.OperationContext{
		RawQuery: p.Query, OperationName: p.OperationName, Variables: p.Variables, Extensions: p.Extensions, Headers: p.Headers,
	}, nil
}

func (s *script) PresentRecoveredError(_ context.Context, panicked any) error {
	if panicked == "panic again" {
		panic("secret")
	}
	return gqlerror.Errorf("recovered")
}

type userKey struct{}

func (s *script) DispatchOperation(ctx context.Context, o *graphql.OperationContext) (graphql.ResponseHandler, context.Context) {
	switch o.RawQuery {
	case "user":
		user, _ := ctx.Value(userKey{}).(string)
		return graphql.OneShot(transporttest.Data(`{"user":"` + user + `"}`)), ctx
	case "refused":
		return graphql.OneShot(&graphql.Response{Errors: gqlerror.List{gqlerror.Errorf("refused")}}), ctx
	case "large":
		return func(ctx context.Context) *graphql.Response { return transporttest.Data(largeData) }, ctx
	case "wait":
		return func(ctx context.Context) *graphql.Response {
			<-ctx.Done()
			s.Ended <- struct{}{}
			return nil
		}, ctx
	case "last word": // that nobody asked for any more
		return func(ctx context.Context) *graphql.Response {
			<-ctx.Done()
			return transporttest.Data(`{"late":true}`)
		}, ctx
	case "push", "push, start panics", "push, then panic":
		if !Push(ctx, s.source(ctx)) || Push(ctx, &steps{}) {
			panic("no source was taken, or two")
		}
		if o.RawQuery == "push, then panic" {
			panic("secret")
		}
		return nil, ctx
	}
	if responses := s.Respond(o); responses != nil {
		return responses, ctx
	}
	panic("unknown query " + o.RawQuery)
}

var largeData = `"` + strings.Repeat("x", 32<<10) + `"`

// hijacked is a response that becomes one end of a net.Pipe, so that a WebSocket needs no network.
type hijacked struct {
	conn   net.Conn
	header http.Header
	status int
}

func (h *hijacked) Header() http.Header         { return h.header }
func (h *hijacked) Write(b []byte) (int, error) { return len(b), nil }
func (h *hijacked) WriteHeader(status int)      { h.status = status }
func (h *hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.conn, bufio.NewReadWriter(bufio.NewReader(h.conn), bufio.NewWriter(h.conn)), nil
}

// pipe opens a WebSocket over a net.Pipe.
func pipe(t testing.TB, transport *Transport, executor graphql.GraphExecutor) *websocket.Conn {
	t.Helper()
	return pipeAs(t, transport, executor, Subprotocol)
}

// pipeAs is pipe for a client that offers this subprotocol.
func pipeAs(t testing.TB, transport *Transport, executor graphql.GraphExecutor, name string) *websocket.Conn {
	t.Helper()
	client, server := net.Pipe()
	var handshake sync.WaitGroup
	handshake.Go(func() {
		r, err := http.ReadRequest(bufio.NewReader(server))
		if err != nil {
			t.Error(err)
			return
		}
		r.RemoteAddr = "192.0.2.1:1"
		transport.Do(&hijacked{conn: server, header: http.Header{}}, r, executor)
	})
	dialer := websocket.Dialer{
		NetDialContext: func(context.Context, string, string) (net.Conn, error) { return client, nil },
		Subprotocols:   []string{name}, ReadBufferSize: 1024, WriteBufferSize: 1024,
	}
	conn, _, err := dialer.DialContext(t.Context(), "ws://pipe/", nil)
	handshake.Wait()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func send(t testing.TB, conn *websocket.Conn, messages ...string) {
	t.Helper()
	for _, m := range messages {
		if err := conn.WriteMessage(websocket.TextMessage, []byte(m)); err != nil {
			t.Fatal(err)
		}
	}
}

func receive(t testing.TB, conn *websocket.Conn) string {
	t.Helper()
	_, text, err := conn.ReadMessage()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// closed returns the close frame that comes, after any other messages.
func closed(t testing.TB, conn *websocket.Conn) *websocket.CloseError {
	t.Helper()
	for {
		_, _, err := conn.ReadMessage()
		if closed, ok := errors.AsType[*websocket.CloseError](err); ok {
			return closed
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

const (
	initMessage = `{"type":"connection_init"}`
	ackMessage  = `{"type":"connection_ack"}`
)

func subscribe(id, query string) string {
	return `{"id":"` + id + `","type":"subscribe","payload":{"query":"` + query + `"}}`
}

// start is subscribe for the legacy protocol.
func start(id, query string) string {
	return `{"id":"` + id + `","type":"start","payload":{"query":"` + query + `"}}`
}

// counters is an Observer.
type counters struct {
	mu                             sync.Mutex
	opened, refused                int
	started, ended, received, sent int
	slow, waiting                  int
	closed                         []CloseError
}

func (c *counters) add(n *int, more int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*n += more
}
func (c *counters) ConnectionOpened()     { c.add(&c.opened, 1) }
func (c *counters) ConnectionRefused(int) { c.add(&c.refused, 1) }
func (c *counters) ConnectionClosed(code int, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = append(c.closed, CloseError{code, reason})
}
func (c *counters) OperationRefused(usererr.Code)         {}
func (c *counters) OperationStarted()                     { c.add(&c.started, 1) }
func (c *counters) OperationEnded()                       { c.add(&c.ended, 1) }
func (c *counters) Received(int)                          { c.add(&c.received, 1) }
func (c *counters) Sent(messages, _ int, _ time.Duration) { c.add(&c.sent, messages) }
func (c *counters) Waiting(connections, bytes int) {
	c.add(&c.slow, connections)
	c.add(&c.waiting, bytes)
}
