package graphqlws

import (
	"cmp"
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"pullwatch/internal/budget"
	"pullwatch/internal/usererr"
)

// Options say how a [Transport] behaves. The zero value of each field means its default.
type Options struct {
	// CheckOrigin reports whether the page that sends a request may open a WebSocket. By default it allows pages of the
	// request's own host, and requests that no page sends.
	CheckOrigin func(*http.Request) bool
	// Refuse answers a request that gets no WebSocket. By default the response is a GraphQL error in JSON.
	Refuse func(w http.ResponseWriter, r *http.Request, status int, reason error)
	// Caller returns the caller that a request counts for in MaxPerCaller and Memory (see package caller). By default all
	// requests count for the same.
	Caller func(*http.Request) string

	// InitFunc decides on a connection_init. By default every client is accepted.
	InitFunc InitFunc
	// InitTimeout is how long a client may take to send connection_init, and InitFunc to decide on it: 10 s by default.
	InitTimeout time.Duration

	// PingInterval is how often a client is pinged: by default nine tenths of PongWait, 54 s. Each ping comes up to a
	// tenth of that earlier, so that many connections that were opened at once are not pinged at once.
	PingInterval time.Duration
	// KeepAlive is how often a client of the legacy protocol gets ka, up to a tenth earlier: 10 s by default. Some of these
	// clients close a connection on which none comes for 20 s.
	KeepAlive time.Duration
	// PongWait is how long a client may be silent: by default ten ninths of PingInterval, 60 s. It has to be longer than
	// PingInterval.
	PongWait time.Duration
	// WriteTimeout is how long a client may take to accept what is written to it, at most 64 KiB at a time: 10 s by
	// default.
	WriteTimeout time.Duration
	// CloseTimeout is how long a client may take to answer a close frame: 2 s by default.
	CloseTimeout time.Duration

	// MessageLimit is the longest message that a client may send, in bytes: 64 KiB by default.
	MessageLimit int
	// QueueLimit is how many bytes may wait to be sent on a connection before its operations wait: 64 KiB by default. A
	// single longer message is still sent.
	QueueLimit int
	// MaxSubscriptions is how many operations a connection may run at a time: 100 by default.
	MaxSubscriptions int
	// MaxConnections is how many connections there may be: 20,000 by default.
	MaxConnections int
	// MaxPerCaller is how many connections one caller may have: MaxConnections by default.
	MaxPerCaller int

	// Memory is the budget for connections, messages, operations, and for messages that clients have not received. Without
	// it nothing is refused for lack of memory.
	Memory *budget.Budget

	// Observer is told what happens, for metrics.
	Observer Observer
}

// An InitFunc decides on a connection_init. header is that of the request for the WebSocket. payload is that of
// connection_init, or nil. Operations see the values of the context that it returns, but neither its end nor its deadline.
// What they need of the header belongs into that context, too. The connection keeps it, with all contexts that it was made
// from: one made from [context.Background] instead of ctx is smaller. A non-nil acknowledgement is sent with
// connection_ack.
//
// An error closes the WebSocket: a [CloseError] with its code and reason, any other with 4403 "Forbidden". The client does
// not see the text of other errors. ctx ends after [Options.InitTimeout]. Nothing else is read from the connection before
// InitFunc returns.
type InitFunc func(ctx context.Context, header http.Header, payload map[string]any) (
	values context.Context, acknowledgement map[string]any, err error)

// An Observer is told what happens. Its methods are called by many goroutines at a time and must not block.
type Observer interface {
	// ConnectionOpened is called when a WebSocket has been accepted.
	ConnectionOpened()
	// ConnectionRefused is called when a request for a WebSocket was refused with an HTTP status.
	ConnectionRefused(status int)
	// ConnectionClosed is called once for each ConnectionOpened. code is the close code that was sent or received first, or
	// 1006 if the connection ended in another way.
	ConnectionClosed(code int, reason string)
	// OperationStarted is called when a subscribe message has been accepted, OperationEnded when nothing of that
	// operation is left.
	OperationStarted()
	OperationEnded()
	// OperationRefused is called for each subscribe message that gets an error of this package. code is in the error's
	// extensions.
	OperationRefused(code usererr.Code)
	// Received is called for each message of a client.
	Received(bytes int)
	// Sent is called after each write. A write is all messages that were queued for a connection. took is how long the
	// connection took to accept them.
	Sent(messages, bytes int, took time.Duration)
	// Waiting adds to two gauges: how many connections have clients that did not take at once what was sent to them, and
	// how many bytes wait for such clients. Both come back to zero. Clients that keep up count only during a write with
	// TLS, or one that follows others without a pause.
	Waiting(connections, bytes int)
}

type noObserver struct{}

func (noObserver) ConnectionOpened()             {}
func (noObserver) ConnectionRefused(int)         {}
func (noObserver) ConnectionClosed(int, string)  {}
func (noObserver) OperationStarted()             {}
func (noObserver) OperationEnded()               {}
func (noObserver) OperationRefused(usererr.Code) {}
func (noObserver) Received(int)                  {}
func (noObserver) Sent(int, int, time.Duration)  {}
func (noObserver) Waiting(int, int)              {}

func (o Options) withDefaults() Options {
	o.InitTimeout = cmp.Or(o.InitTimeout, 10*time.Second)
	o.PongWait = cmp.Or(o.PongWait, o.PingInterval/9*10, 60*time.Second)
	o.PingInterval = cmp.Or(o.PingInterval, o.PongWait/10*9)
	o.KeepAlive = cmp.Or(o.KeepAlive, 10*time.Second)
	o.WriteTimeout = cmp.Or(o.WriteTimeout, 10*time.Second)
	o.CloseTimeout = cmp.Or(o.CloseTimeout, 2*time.Second)
	o.MessageLimit = cmp.Or(o.MessageLimit, 64<<10)
	o.QueueLimit = cmp.Or(o.QueueLimit, 64<<10)
	o.MaxSubscriptions = cmp.Or(o.MaxSubscriptions, 100)
	o.MaxConnections = cmp.Or(o.MaxConnections, 20_000)
	o.MaxPerCaller = cmp.Or(o.MaxPerCaller, o.MaxConnections)
	if o.Refuse == nil {
		o.Refuse = refuse
	}
	if o.Caller == nil {
		o.Caller = func(*http.Request) string { return "" }
	}
	if o.Observer == nil {
		o.Observer = noObserver{}
	}
	return o
}

// upgrader returns the Upgrader for these options. Its buffers are small because clients send little. With a pool it gives
// no connection a buffer for writing, which this package does not use.
func (o Options) upgrader(refuse func(http.ResponseWriter, *http.Request, int, error)) websocket.Upgrader {
	return websocket.Upgrader{
		HandshakeTimeout: o.WriteTimeout,
		ReadBufferSize:   256, WriteBufferSize: 256, WriteBufferPool: &sync.Pool{},
		CheckOrigin: o.CheckOrigin,
		Error:       refuse,
	}
}
