package graphqlws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/gorilla/websocket"

	"pullwatch/internal/serve/jsonreader"
)

// connection is one WebSocket. serve reads from it. The goroutine that has something to send writes to it.
type connection struct {
	executor graphql.GraphExecutor
	socket   *websocket.Conn
	header   http.Header     // until connection_init
	caller   string          // that it counts for in limits
	values   context.Context // of operations; it never ends

	// heard is when the client last sent a frame, initBy when connection_init must have come, and nextPing when the next
	// ping is due, all as Transport.now.
	heard    atomic.Int64
	initBy   time.Duration
	nextPing time.Duration
	// nextKeepAlive is when the next ka is due. Before connection_ack, and in the current protocol, it is never.
	nextKeepAlive time.Duration
	// timer fires at wakeAt. From startTimer on mu guards wakeAt.
	timer  *time.Timer
	wakeAt time.Duration

	// goroutines are those of operations and of writeLater. An operation that has a Source counts as one. Once ending is
	// true, only one of them, or a goroutine that writes, begins another one.
	goroutines sync.WaitGroup

	// Sending uses the fields from here to flushed. They are next to each other, because a message to thousands of
	// connections finds none of them in the processor's cache.

	transport *Transport
	protocol  *subprotocol
	raw       syscall.RawConn // writes without waiting; nil if the socket cannot do that

	// mu guards all of the following.
	mu      sync.Mutex
	writing bool          // a goroutine writes, and writes the queue after that
	stalled bool          // writing, in writeLater: the kernel did not take all at once
	ending  bool          // the last frame has been queued, or can no longer be sent
	queue   *queued       // nil if it is empty
	space   chan struct{} // closed when the queue has been taken; nil if nobody waits for that
	parked  list          // the subscriptions that wait until the client keeps up
	flushed chan struct{} // closed when nobody writes any more; nil if nobody waits for that
	waiting int           // how many bytes are queued and being written, while stalled
	held    int           // how many bytes were taken from the budget for waiting
	// giveUp ends the wait for memory for a message. It is nil if nothing waits.
	giveUp context.CancelFunc

	// initialised is true once connection_init has come. When the next message is read, it has been acknowledged, or the
	// connection is ending.
	initialised bool
	// operations are those whose id is taken. running also counts operations that the client has completed and that have
	// not ended yet.
	operations []*operation
	running    int
	cause      *CloseError // why the connection ends, once ending
}

// serve reads until the connection has ended, and waits for all its goroutines.
//
// The functions in which a goroutine waits decide how large its stack stays. The runtime halves a stack of 8 KiB only if
// less than a quarter is in use, and counts 800 bytes for itself. So the functions between here and the socket have small
// frames. The work is done in other functions, which have returned when the goroutine waits.
func (c *connection) serve() {
	c.transport.begin(c)
	c.setHandlers()
	c.finish(c.read())
}

// setHandlers sets the handlers of control frames.
func (c *connection) setHandlers() {
	c.socket.SetPingHandler(func(data string) error {
		c.hear()
		c.sendControl(websocket.PongMessage, func(b []byte) []byte { return append(b, data...) })
		return nil
	})
	c.socket.SetPongHandler(func(string) error {
		c.hear()
		return nil
	})
	c.socket.SetCloseHandler(func(code int, reason string) error {
		c.clientCloses(code, reason)
		return nil
	})
}

// read handles messages until the socket can no longer be read. After the server has sent a close frame, it reads on until
// the client's close frame: if a socket is closed with unread data, the client may lose what was sent last.
func (c *connection) read() error {
	for {
		kind, reader, err := c.socket.NextReader()
		if err == nil {
			err = c.take(kind, reader)
		}
		if err != nil {
			return err
		}
	}
}

// take handles one message. It returns an error only if nothing more can be read.
func (c *connection) take(kind int, reader io.Reader) error {
	c.hear()
	if c.isEnding() {
		return nil
	}
	err := c.receive(kind, reader)
	if refused, ok := errors.AsType[*CloseError](err); ok {
		c.refuseClient(refused)
		return nil
	}
	return err
}

func (c *connection) hear() { c.heard.Store(int64(c.transport.now())) }

func (c *connection) isEnding() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ending
}

// receive reads one message and does what it says. It returns a [CloseError] if the message has to close the connection.
func (c *connection) receive(kind int, reader io.Reader) error {
	if kind != websocket.TextMessage {
		return badRequest("the message is binary; send JSON as text")
	}
	text := takeIncoming()
	defer c.putIncoming(text)
	if err := c.readMessage(text, reader); err != nil {
		return err
	}
	m, err := parseMessage(c.protocol, text.bytes)
	if err != nil {
		return err
	}
	switch m.kind {
	case kindInit:
		return c.init(m.payload)
	case kindPing:
		c.sendControl(websocket.TextMessage, func(b []byte) []byte { return appendMessage(b, "pong", "", m.payload) })
	case kindSubscribe:
		return c.subscribe(m.id, m.payload)
	case kindComplete:
		c.complete(m.id)
	case kindTerminate:
		c.close(&CloseError{Code: websocket.CloseNormalClosure})
	}
	return nil
}

// init answers connection_init.
func (c *connection) init(payload json.RawMessage) error {
	c.mu.Lock()
	again := c.initialised
	c.initialised = true
	c.mu.Unlock()
	if again {
		return &CloseError{CloseTooManyInitRequests, "Too many initialisation requests"}
	}
	acknowledgement, err := c.decide(payload)
	c.header = nil
	if err != nil {
		if _, ok := errors.AsType[*CloseError](err); ok {
			return err
		}
		return &CloseError{CloseForbidden, "Forbidden"}
	}
	c.acknowledge(acknowledgement)
	return nil
}

// acknowledge sends connection_ack. payload is JSON, or nil if it has none. Clients of the legacy protocol expect the first
// ka right after it.
func (c *connection) acknowledge(payload []byte) {
	c.sendControl(websocket.TextMessage, func(b []byte) []byte { return appendMessage(b, "connection_ack", "", payload) })
	if !c.protocol.legacy {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending {
		return
	}
	c.keepAliveLocked(c.transport.now())
	c.setTimerLocked(min(c.wakeAt, c.nextKeepAlive))
}

// keepAliveLocked sends ka.
func (c *connection) keepAliveLocked(now time.Duration) {
	c.nextKeepAlive = now + jittered(c.transport.options.KeepAlive)
	c.enqueue(websocket.TextMessage, func(b []byte) []byte { return appendMessage(b, "ka", "", nil) })
	c.flush()
}

// decide calls InitFunc and returns the payload of connection_ack.
func (c *connection) decide(payload json.RawMessage) (acknowledgement []byte, err error) {
	if c.transport.options.InitFunc == nil {
		return nil, nil
	}
	memory := c.transport.options.Memory.Open(c.caller, 0)
	defer memory.Close() // what InitFunc keeps of it is small
	var values map[string]any
	if payload != nil {
		read := jsonreader.New(payload, memory)
		if values = read.Object(); read.Err() != nil {
			return nil, &CloseError{websocket.CloseTryAgainLater, read.Err().Error()}
		}
	}
	ctx, cancel := context.WithTimeout(c.values, c.transport.options.InitTimeout)
	defer cancel()
	defer func() {
		if panicked := recover(); panicked != nil {
			_ = presentPanic(ctx, c.executor, panicked) // which calls gqlgen's RecoverFunc, so that it is logged
			err = &CloseError{websocket.CloseInternalServerErr, "internal error"}
		}
	}()
	accepted, payloadOfAck, err := c.transport.options.InitFunc(ctx, c.header, values)
	if err != nil {
		return nil, err
	}
	c.values = context.WithoutCancel(accepted)
	if payloadOfAck == nil {
		return nil, nil
	}
	return json.Marshal(payloadOfAck)
}

// enforceLocked enforces the time limits, and pings. It sets wakeAt to when it has to be called again.
func (c *connection) enforceLocked(now time.Duration) {
	options := &c.transport.options
	silentUntil := time.Duration(c.heard.Load()) + options.PongWait
	switch {
	case c.ending:
		c.cut() // the client has not answered the close frame
		c.wakeAt = never
		return
	case !c.initialised && now >= c.initBy:
		cause := &CloseError{CloseInitTimeout, "Connection initialisation timeout"}
		c.closeWith(cause, cause.payload())
		return
	case now >= silentUntil:
		reason := fmt.Sprintf("nothing heard of the client for %v", options.PongWait)
		c.abort(&CloseError{websocket.CloseAbnormalClosure, reason})
		return
	case now >= c.nextPing:
		c.nextPing = now + jittered(options.PingInterval)
		c.enqueue(websocket.PingMessage, func(b []byte) []byte { return b })
		c.flush()
	case now >= c.nextKeepAlive:
		c.keepAliveLocked(now)
	}
	c.wakeAt = min(c.nextPing, silentUntil, c.nextKeepAlive)
	if !c.initialised {
		c.wakeAt = min(c.wakeAt, c.initBy)
	}
}

// jittered returns d minus a random part of up to a tenth of it.
func jittered(d time.Duration) time.Duration { return d - rand.N(d/10+1) }

// complete ends the operation with this id. There is none if it ended by itself before the message came.
func (c *connection) complete(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := c.find(quote(id)); i >= 0 {
		c.stopLocked(i)
	}
}

// stopLocked ends the operation with this index without another message. Its id is free.
func (c *connection) stopLocked(i int) {
	c.operations[i].stop()
	c.operations = slices.Delete(c.operations, i, i+1)
}

// find returns the index of the operation with this id, which is JSON, or -1. c.mu is held.
func (c *connection) find(id string) int {
	return slices.IndexFunc(c.operations, func(o *operation) bool { return o.id == id })
}
