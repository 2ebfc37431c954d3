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
	// CheckOrigin reports whether the page that a request comes from may open a WebSocket. By default only pages of the
	// request's own host may, and what is no page.
	CheckOrigin func(*http.Request) bool
	// Refuse answers a request that gets no WebSocket. By default the answer is a GraphQL error in JSON.
	Refuse func(w http.ResponseWriter, r *http.Request, status int, reason error)
	// ClientAddress returns the address that a request counts for in MaxPerAddress. By default all count for the same.
	ClientAddress func(*http.Request) string

	// InitFunc decides on a connection_init. By default every client is accepted.
	InitFunc InitFunc
	// InitTimeout is how long a client may take to send connection_init, and InitFunc to decide on it: 10 s by default.
	InitTimeout time.Duration

	// PingInterval is how often a peer is pinged: by default nine tenths of PongWait, 54 s. Each ping comes up to a
	// tenth of that earlier, so that many connections that were opened at once are not pinged at once.
	PingInterval time.Duration
	// PongWait is how long a peer may be silent: by default ten ninths of PingInterval, 60 s. It has to be longer than
	// PingInterval.
	PongWait time.Duration
	// WriteTimeout is how long a peer may take to accept 64 KiB, or less if there is less for it: 10 s by default.
	WriteTimeout time.Duration
	// CloseTimeout is how long a peer may take to answer a close frame: 2 s by default.
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
	// MaxPerAddress is how many connections one client address may have: MaxConnections by default.
	MaxPerAddress int

	// Memory is what connections, messages, operations and what peers do not take are taken from, for the ClientAddress.
	// Without it nothing is refused for want of memory.
	Memory *budget.Budget

	// Observer is told what happens, for metrics.
	Observer Observer
}

// An InitFunc decides on a connection_init. header is the one of the request that became the WebSocket, payload is
// what came with connection_init, or nil. Operations see the values of the context that it returns, but neither its
// end nor its deadline; what they need of the header belongs there too. It is kept as long as the connection, and with
// it all that it was made from: one made from [context.Background] instead of ctx is smaller. A non-nil
// acknowledgement is sent with connection_ack.
//
// With an error the WebSocket is closed: with the code and the reason of a [CloseError], and with 4403 "Forbidden"
// otherwise; the client does not see the text of any other error. ctx ends after [Options.InitTimeout]. Nothing else is
// read from the connection before InitFunc returns.
type InitFunc func(ctx context.Context, header http.Header, payload map[string]any) (
	values context.Context, acknowledgement map[string]any, err error)

// An Observer is told what happens. Its methods are called by many goroutines at a time and must not block.
type Observer interface {
	// ConnectionOpened is called when a WebSocket has been accepted.
	ConnectionOpened()
	// ConnectionRefused is called when a request was answered with an HTTP status instead.
	ConnectionRefused(status int)
	// ConnectionClosed is called once for each ConnectionOpened, with why the connection ended: the close code that was
	// sent or received first, or 1006 when it ended in another way.
	ConnectionClosed(code int, reason string)
	// OperationStarted is called when a subscribe message has been accepted, OperationEnded when nothing of that
	// operation is left.
	OperationStarted()
	OperationEnded()
	// OperationRefused is called for each subscribe message that is answered with an error of this package's own, with
	// what is in the error's extensions.code.
	OperationRefused(code usererr.Code)
	// Received is called for each message of a client.
	Received(bytes int)
	// Sent is called after each write, with all that had been queued for the connection by then and how long the
	// connection took to accept it.
	Sent(messages, bytes int, took time.Duration)
	// Waiting is called with what is to be added to the number of connections whose peers have not taken at once what
	// was sent to them, and to the number of bytes that wait for such peers. Both come back to zero. Peers that keep up do
	// not count, except for the moment of a write with TLS, or of one that follows others without a pause.
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
	o.WriteTimeout = cmp.Or(o.WriteTimeout, 10*time.Second)
	o.CloseTimeout = cmp.Or(o.CloseTimeout, 2*time.Second)
	o.MessageLimit = cmp.Or(o.MessageLimit, 64<<10)
	o.QueueLimit = cmp.Or(o.QueueLimit, 64<<10)
	o.MaxSubscriptions = cmp.Or(o.MaxSubscriptions, 100)
	o.MaxConnections = cmp.Or(o.MaxConnections, 20_000)
	o.MaxPerAddress = cmp.Or(o.MaxPerAddress, o.MaxConnections)
	if o.Refuse == nil {
		o.Refuse = refuse
	}
	if o.ClientAddress == nil {
		o.ClientAddress = func(*http.Request) string { return "" }
	}
	if o.Observer == nil {
		o.Observer = noObserver{}
	}
	return o
}

// upgrader returns the Upgrader for these options. Its buffers are small because clients send little; the pool keeps it
// from giving each connection a buffer for writing, which is never used.
func (o Options) upgrader(refuse func(http.ResponseWriter, *http.Request, int, error)) websocket.Upgrader {
	return websocket.Upgrader{
		HandshakeTimeout: o.WriteTimeout,
		ReadBufferSize:   256, WriteBufferSize: 256, WriteBufferPool: &sync.Pool{},
		Subprotocols: []string{Subprotocol},
		CheckOrigin:  o.CheckOrigin,
		Error:        refuse,
	}
}
