package graphqlws

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/gorilla/websocket"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"pullwatch/internal/budget"
	"pullwatch/internal/serve/transport"
)

// A Transport serves WebSockets. It can be used by several gqlgen servers, whose connections then share its limits.
type Transport struct {
	options  Options
	upgrader websocket.Upgrader
	start    time.Time      // now is relative to it
	timers   sync.WaitGroup // of connections
	runner   runner
	clients  *transport.Clients[*connection]
}

var _ graphql.Transport = (*Transport)(nil)

// New returns a Transport. It has no goroutines while there are no connections, which [Transport.Drain] ends. It panics if
// PongWait is not longer than PingInterval.
func New(o Options) *Transport {
	o = o.withDefaults()
	t := &Transport{options: o, clients: transport.NewClients[*connection]("connections", o.MaxConnections, o.MaxPerCaller)}
	if ping, pong := t.options.PingInterval, t.options.PongWait; pong <= ping {
		panic(fmt.Sprintf("graphqlws: PongWait, %v, has to be longer than PingInterval, %v", pong, ping))
	}
	t.upgrader = t.options.upgrader(t.refuse)
	t.start = time.Now()
	t.runner.limit = runtime.GOMAXPROCS(0)
	return t
}

// Supports reports whether the request asks for a WebSocket.
func (t *Transport) Supports(r *http.Request) bool { return websocket.IsWebSocketUpgrade(r) }

// Do makes the request a WebSocket and returns. Goroutines of the Transport serve the connection. Operations see the values
// of the request's context, but not its end. They do not see its header, which would stay in memory as long as the
// connection: graphql.OperationContext.Headers is nil. See [InitFunc].
func (t *Transport) Do(w http.ResponseWriter, r *http.Request, executor graphql.GraphExecutor) {
	caller := t.options.Caller(r)
	if status, err := t.admit(caller); err != nil {
		w.Header().Set("Retry-After", "5")
		t.refuse(w, r, status, err)
		return
	}
	name := choose(r)
	socket, err := t.upgrader.Upgrade(w, r, http.Header{"Sec-Websocket-Protocol": {name}})
	if err != nil {
		t.release(caller) // Upgrade has answered the request
		return
	}
	LimitUnsent(socket.NetConn())
	now := t.now()
	protocol, _ := subprotocolOf(name)
	c := &connection{
		transport: t, protocol: protocol, executor: executor, socket: socket, raw: rawConn(socket.NetConn()), caller: caller,
		values: context.WithoutCancel(r.Context()),
		initBy: now + t.options.InitTimeout, nextPing: now + jittered(t.options.PingInterval), nextKeepAlive: never,
	}
	if t.options.InitFunc != nil {
		c.header = r.Header
	}
	c.heard.Store(int64(now))
	go c.serve()
}

// now is the time since the transport was made. It takes less memory than a time.Time, and is monotonic.
func (t *Transport) now() time.Duration { return time.Since(t.start) }

// begin makes a connection one of the transport's clients.
func (t *Transport) begin(c *connection) {
	t.options.Observer.ConnectionOpened()
	c.startTimer()
	if t.clients.Add(c) { // draining
		c.close(errRestart)
	} else if _, ok := subprotocolOf(c.socket.Subprotocol()); !ok {
		c.close(&CloseError{CloseSubprotocolNotAccepted, "Subprotocol not acceptable: offer " + Subprotocol})
	}
}

// forget undoes begin and admit.
func (t *Transport) forget(c *connection) {
	c.stopTimer()
	t.clients.Remove(c)
	t.options.Observer.ConnectionClosed(c.cause.Code, c.cause.Reason)
	t.release(c.caller)
}

// admit counts a connection for its caller, or returns the HTTP status and the error to refuse it with.
func (t *Transport) admit(caller string) (status int, err error) {
	if refused := t.clients.Admit(caller); refused != nil {
		return refused.Status, refused
	}
	if err := t.options.Memory.Take(caller, budget.Connections, connectionMemory); err != nil {
		t.clients.Release(caller, func() {})
		return http.StatusServiceUnavailable, err
	}
	return 0, nil
}

// connectionMemory is what a connection takes by itself, in bytes. Half of it was measured, with a subscription. The other
// half is for the kernel's buffers.
const connectionMemory = 12 << 10

func (t *Transport) release(caller string) {
	t.options.Memory.Give(caller, budget.Connections, connectionMemory)
	t.clients.Release(caller, func() {})
}

var errRestart = &CloseError{websocket.CloseServiceRestart, "Service restart"}

// Drain refuses new WebSockets and closes all others with 1012 "Service restart". It spreads that evenly over at most the
// given time, so that not all clients connect again at once. It returns when nothing of them is left: no operations, no
// goroutines, no timers.
//
// When ctx is done, Drain cuts off the connections that are left, waits until their resolvers have returned, and returns
// ctx's cause.
func (t *Transport) Drain(ctx context.Context, over time.Duration) error {
	return t.clients.Drain(ctx, over,
		func(c *connection) { c.close(errRestart) },
		func(c *connection) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.abort(errRestart)
		},
		func() {
			t.timers.Wait()
			t.runner.wait()
		})
}

func (t *Transport) refuse(w http.ResponseWriter, r *http.Request, status int, reason error) {
	t.options.Observer.ConnectionRefused(status)
	t.options.Refuse(w, r, status, reason)
}

// refuse is the default of Options.Refuse.
func refuse(w http.ResponseWriter, _ *http.Request, status int, reason error) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Sec-WebSocket-Version", "13")
	w.WriteHeader(status)
	// A client that is gone needs no response.
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": gqlerror.List{{Message: reason.Error()}}})
}
