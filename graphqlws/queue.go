package graphqlws

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// queued is what waits to be sent on a connection: whole frames.
type queued struct {
	frames   []byte
	messages int
}

// queuePool keeps the buffers of connections that have something to send; the others have none.
var queuePool = sync.Pool{New: func() any { return &queued{} }}

// keptBuffer is the largest buffer that goes back to the pool, so that one large message does not stay for ever.
const keptBuffer = 64 << 10

func (q *queued) free() {
	if cap(q.frames) > keptBuffer {
		return
	}
	q.frames, q.messages = q.frames[:0], 0
	queuePool.Put(q)
}

// enqueue appends a frame. c.mu is held.
func (c *connection) enqueue(opcode byte, body func([]byte) []byte) {
	if c.queue == nil {
		c.queue = queuePool.Get().(*queued)
	}
	c.queue.frames = appendFrame(c.queue.frames, opcode, body)
	c.queue.messages++
}

// awaitSpace waits until the queue is short enough for one more message, ctx is done, or nothing more can be sent. c.mu
// is held when it is called and when it returns.
func (c *connection) awaitSpace(ctx context.Context) {
	for c.queue != nil && len(c.queue.frames) >= c.transport.options.QueueLimit && !c.ending && ctx.Err() == nil {
		if c.space == nil {
			c.space = make(chan struct{})
		}
		space := c.space
		c.mu.Unlock()
		select {
		case <-space:
		case <-ctx.Done():
		}
		c.mu.Lock()
	}
}

// tellSpace wakes all who wait for space. c.mu is held.
func (c *connection) tellSpace() {
	if c.space != nil {
		close(c.space)
		c.space = nil
	}
}

// flushLater sends what is queued, in a goroutine that ends when that is done. c.mu is held.
func (c *connection) flushLater() {
	if c.writing || c.queue == nil {
		return
	}
	c.writing = true
	c.goroutines.Go(func() {
		for c.writeQueue() {
		}
	})
}

// flush sends what is queued in the caller's goroutine, unless another one is at it. It writes once: what has come
// meanwhile is left to flushLater, so that one operation is not kept busy with the results of others. c.mu must not be
// held.
func (c *connection) flush() {
	c.mu.Lock()
	if c.writing || c.queue == nil {
		c.mu.Unlock()
		return
	}
	c.writing = true
	c.mu.Unlock()
	if !c.writeQueue() {
		return
	}
	c.mu.Lock()
	c.writing = false
	c.flushLater()
	c.mu.Unlock()
}

// writeQueue writes all that is queued. It reports whether more has come meanwhile; if not, it resets c.writing, which
// its caller has set.
func (c *connection) writeQueue() bool {
	c.mu.Lock()
	q := c.queue
	c.queue = nil
	c.tellSpace()
	c.mu.Unlock()

	begun := time.Now()
	err := c.write(q.frames)
	if err == nil {
		c.transport.options.Observer.Sent(q.messages, len(q.frames), time.Since(begun))
	}
	q.free()

	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		reason := fmt.Sprintf("the peer does not take what is sent to it: %v", err)
		c.abort(&CloseError{websocket.CloseAbnormalClosure, reason})
		c.queue = nil
	}
	c.writing = c.queue != nil
	if c.flushed != nil && !c.writing {
		close(c.flushed)
		c.flushed = nil
	}
	return c.writing
}

// writeChunk is how much a peer has to take within WriteTimeout.
const writeChunk = 64 << 10

func (c *connection) write(frames []byte) error {
	conn := c.socket.NetConn()
	for len(frames) > 0 {
		chunk := frames[:min(len(frames), writeChunk)]
		if err := conn.SetWriteDeadline(time.Now().Add(c.transport.options.WriteTimeout)); err != nil {
			return err
		}
		if _, err := conn.Write(chunk); err != nil {
			return err
		}
		frames = frames[len(chunk):]
	}
	return nil
}

// sendControl queues a message or control frame that belongs to no operation. It waits while the queue is full, so that
// a peer cannot fill memory with questions whose answers it does not read.
func (c *connection) sendControl(opcode byte, body func([]byte) []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.awaitSpace(context.Background())
	if c.ending {
		return
	}
	c.enqueue(opcode, body)
	c.flushLater()
}

func (c *connection) sendMessage(kind string, id, payload []byte) {
	c.sendControl(websocket.TextMessage, func(b []byte) []byte { return appendMessage(b, kind, id, payload) })
}
