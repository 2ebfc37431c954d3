package graphqlws

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
)

// Close codes of the protocols.
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
	// Reason is for the developers of the client, which gets the first 123 bytes.
	Reason string
}

func (e *CloseError) Error() string { return fmt.Sprintf("close %d: %s", e.Code, e.Reason) }

func badRequest(format string, arguments ...any) error {
	return &CloseError{CloseBadRequest, fmt.Sprintf(format, arguments...)}
}

// maxReason is how many bytes fit into a close frame after the code.
const maxReason = 123

// payload returns the payload of the close frame.
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

// close sends a close frame and ends all operations. Nothing is sent after it. If the connection is ending already, close
// does nothing.
func (c *connection) close(cause *CloseError) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closeWith(cause, cause.payload())
}

// clientCloses answers a close frame with one of the same code, as RFC 6455 demands.
func (c *connection) clientCloses(code int, reason string) {
	var payload []byte
	if code != websocket.CloseNoStatusReceived {
		payload = (&CloseError{Code: code}).payload()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closeWith(&CloseError{code, reason}, payload)
}

// refuseClient is close for what the client has sent. A client of the legacy protocol gets a message first.
func (c *connection) refuseClient(cause *CloseError) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.protocol.legacy && !c.ending {
		c.enqueue(websocket.TextMessage, func(b []byte) []byte {
			return appendMessage(b, "connection_error", "", errorPayload(cause))
		})
	}
	c.closeWith(cause, cause.payload())
}

// closeWith is close with another payload of the close frame. c.mu is held.
func (c *connection) closeWith(cause *CloseError, payload []byte) {
	if c.ending {
		return
	}
	c.end(cause)
	c.enqueue(websocket.CloseMessage, func(b []byte) []byte { return append(b, payload...) })
	c.flush()
}

// end ends the connection's operations and wakes those that wait for space. What is queued may still be sent within
// CloseTimeout. c.mu is held.
func (c *connection) end(cause *CloseError) {
	c.ending, c.cause = true, cause
	for _, o := range c.operations {
		o.stop()
	}
	c.operations = nil
	c.signalSpace()
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

// cut makes serve close the socket at once. cut does not close it by itself, for that may block: TLS sends an alert first.
func (c *connection) cut() { _ = c.socket.NetConn().SetDeadline(time.Unix(1, 0)) }

// finish ends the connection after a read has failed with err. It closes the socket before it waits for the goroutines of
// operations: a resolver may take a while to return.
func (c *connection) finish(err error) {
	c.mu.Lock()
	if !c.ending {
		c.end(&CloseError{c.readFailed(), err.Error()})
	}
	c.mu.Unlock()
	if isHandshake(err) {
		c.awaitFlushed()
	}
	_ = c.socket.Close() // the client may be gone
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

// readFailed returns the close code of a connection that failed without a close frame from either side.
func (c *connection) readFailed() int {
	// By itself, gorilla sends only a close frame, to a client that violates RFC 6455. After that it returns no writer.
	if _, err := c.socket.NextWriter(websocket.TextMessage); errors.Is(err, websocket.ErrCloseSent) {
		return websocket.CloseProtocolError
	}
	return websocket.CloseAbnormalClosure
}

// isHandshake reports whether reading ended with the client's close frame. Then the server's close frame may still be being
// written, which takes CloseTimeout at most.
func isHandshake(err error) bool {
	_, ok := errors.AsType[*websocket.CloseError](err)
	return ok && !websocket.IsCloseError(err, websocket.CloseAbnormalClosure)
}
