package graphqlws

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
)

// Subprotocol is the name of the protocol in Sec-WebSocket-Protocol.
const Subprotocol = "graphql-transport-ws"

// Close codes of the protocol.
const (
	CloseBadRequest              = 4400
	CloseUnauthorized            = 4401
	CloseForbidden               = 4403
	CloseSubprotocolNotAccepted  = 4406
	CloseInitTimeout             = 4408
	CloseSubscriberAlreadyExists = 4409
	CloseTooManyInitRequests     = 4429
)

// A CloseError is why the server closes a WebSocket.
type CloseError struct {
	Code int
	// Reason is for the people who write the client. The client gets the first 123 bytes of it.
	Reason string
}

func (e *CloseError) Error() string { return fmt.Sprintf("close %d: %s", e.Code, e.Reason) }

func badRequest(format string, arguments ...any) error {
	return &CloseError{CloseBadRequest, fmt.Sprintf(format, arguments...)}
}

// maxReason is what fits into a control frame beside the code.
const maxReason = 123

// payload returns what a close frame carries.
func (e *CloseError) payload() []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(e.Code)), truncate(e.Reason, maxReason)...)
}

// truncate returns the longest prefix of s that has at most n bytes and ends with a whole character.
func truncate(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// close sends a close frame and ends all operations. Nothing else is sent after it. Only the first reason to end
// counts.
func (c *connection) close(cause *CloseError) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closeWith(cause, cause.payload())
}

// peerCloses answers a close frame with one of the same code, as RFC 6455 wants it.
func (c *connection) peerCloses(code int, reason string) {
	var payload []byte
	if code != websocket.CloseNoStatusReceived {
		payload = (&CloseError{Code: code}).payload()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closeWith(&CloseError{code, reason}, payload)
}

// closeWith is close with the payload of the close frame. c.mu is held.
func (c *connection) closeWith(cause *CloseError, payload []byte) {
	if c.ending {
		return
	}
	c.end(cause)
	c.enqueue(websocket.CloseMessage, func(b []byte) []byte { return append(b, payload...) })
	c.flush()
}

// end notes why the connection ends, ends its operations and wakes who waits to send. What has been queued may still be
// sent within CloseTimeout. c.mu is held.
func (c *connection) end(cause *CloseError) {
	c.ending, c.cause = true, cause
	for _, o := range c.operations {
		o.stop()
	}
	c.operations = nil
	c.tellSpace()
	if c.giveUp != nil {
		c.giveUp()
	}
	c.setTimerLocked(c.transport.now() + c.transport.options.CloseTimeout)
}

// abort ends the connection without a close frame. c.mu is held.
func (c *connection) abort(cause *CloseError) {
	if !c.ending {
		c.end(cause)
	}
	c.cut()
}

// cut makes serve close the socket, now. To close it here could block: TLS says goodbye first.
func (c *connection) cut() { _ = c.socket.NetConn().SetDeadline(time.Unix(1, 0)) }

// finish ends the connection after a read has failed with err. It closes the socket before it waits for operations,
// which may take a while to notice that they have ended.
func (c *connection) finish(err error) {
	c.mu.Lock()
	if !c.ending {
		c.end(&CloseError{c.readFailed(), err.Error()})
	}
	c.mu.Unlock()
	if isHandshake(err) {
		c.awaitFlushed()
	}
	_ = c.socket.Close() // the peer may be gone
	c.awaitFlushed()
	c.goroutines.Wait()
	c.transport.forget(c)
}

// awaitFlushed waits until nobody writes.
func (c *connection) awaitFlushed() {
	c.mu.Lock()
	var flushed chan struct{}
	if c.writing {
		flushed = make(chan struct{})
		c.flushed = flushed
	}
	c.mu.Unlock()
	if flushed != nil {
		<-flushed
	}
}

// readFailed returns the close code for when reading has failed without a close frame from either side.
func (c *connection) readFailed() int {
	// The only thing that gorilla sends by itself is the close frame for a peer that breaks RFC 6455, and there is no
	// writer after that.
	if _, err := c.socket.NextWriter(websocket.TextMessage); errors.Is(err, websocket.ErrCloseSent) {
		return websocket.CloseProtocolError
	}
	return websocket.CloseAbnormalClosure
}

// isHandshake reports whether reading ended with the peer's close frame. Then the one of this side may still be under
// way, and takes no longer than CloseTimeout.
func isHandshake(err error) bool {
	_, ok := errors.AsType[*websocket.CloseError](err)
	return ok && !websocket.IsCloseError(err, websocket.CloseAbnormalClosure)
}
