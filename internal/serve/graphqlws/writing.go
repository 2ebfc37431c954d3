package graphqlws

import (
	"fmt"
	"syscall"
	"time"

	"github.com/gorilla/websocket"

	"pullwatch/internal/budget"
)

// unsentLimit is how many bytes the kernel takes in addition to what the client's receive window has room for.
const unsentLimit = 64 << 10

// flushShare is how many bytes flush writes before it leaves the rest to a goroutine. Otherwise one operation would write
// all that others go on to queue.
const flushShare = 16 << 10

// flush writes what is queued, unless a goroutine is writing already. It does not wait for the client: if the kernel does not
// take all at once, another goroutine writes the rest, until the queue is empty. c.mu is held when flush is called and when
// it returns, but not while it writes.
func (c *connection) flush() {
	for written := 0; !c.writing && c.queue != nil; {
		c.writing = true
		q := c.takeQueue()
		if c.raw == nil || written >= flushShare {
			c.writeLater(q)
			return
		}
		written += len(q.frames)
		c.mu.Unlock()
		err := q.writeSome(c.raw)
		c.mu.Lock()
		if err == nil && len(q.unsent) > 0 {
			c.writeLater(q)
			return
		}
		c.written(q, err)
		c.endWriting()
	}
}

// takeQueue returns the queue, which is to be written, and leaves an empty one. c.mu is held.
func (c *connection) takeQueue() *queued {
	q := c.queue
	c.queue = nil
	c.signalSpace()
	q.unsent, q.begun = q.frames, time.Now()
	return q
}

// writeSome writes what the kernel takes at once.
func (q *queued) writeSome(raw syscall.RawConn) error {
	if err := raw.Control(q.try); err != nil {
		return err
	}
	return q.err
}

// written is called when q has been written, or writing it has failed. c.mu is held.
func (c *connection) written(q *queued, err error) {
	if err == nil {
		c.transport.options.Observer.Sent(q.messages, len(q.frames), time.Since(q.begun))
	} else {
		reason := fmt.Sprintf("the client does not take what is sent to it: %v", err)
		c.abort(&CloseError{websocket.CloseAbnormalClosure, reason})
		c.queue = nil
	}
	q.free()
}

// endWriting is called by the goroutine that has stopped writing. c.mu is held.
func (c *connection) endWriting() {
	c.writing = false
	if c.stalled {
		c.stalled = false
		c.observeWaiting(-1, -c.waiting)
		c.transport.options.Memory.Give(c.caller, budget.Responses, c.held)
		c.held = 0
	}
	c.unpark()
	if c.flushed != nil && c.queue == nil {
		close(c.flushed)
		c.flushed = nil
	}
}

// writeLater starts a goroutine that writes q and all that is queued meanwhile. c.mu is held.
func (c *connection) writeLater(q *queued) {
	c.stalled = true
	waiting := len(q.unsent)
	if c.queue != nil {
		waiting += len(c.queue.frames)
	}
	c.observeWaiting(1, waiting)
	c.holdWaiting()
	c.goroutines.Go(func() {
		for q != nil {
			q = c.writeAll(q)
		}
	})
}

// writeAll writes q. It returns what was queued meanwhile, or nil.
func (c *connection) writeAll(q *queued) *queued {
	waited := len(q.unsent)
	err := c.write(q.unsent)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.written(q, err)
	if c.queue == nil {
		c.endWriting()
		return nil
	}
	c.observeWaiting(0, -waited)
	return c.takeQueue()
}

// observeWaiting calls [Observer.Waiting]. c.mu is held.
func (c *connection) observeWaiting(connections, bytes int) {
	c.waiting += bytes
	c.transport.options.Observer.Waiting(connections, bytes)
}

// waitingStep is how many bytes are taken from the budget at a time for a client that does not read.
const waitingStep = 16 << 10

// holdWaiting takes memory from the budget for what waits for the client, here and in the kernel. If there is none, the
// connection ends. c.mu is held.
func (c *connection) holdWaiting() {
	wanted, step := c.waiting, 0
	if c.raw != nil { // otherwise all that is written waits for a moment
		wanted, step = wanted+unsentLimit, waitingStep
	}
	if wanted <= c.held {
		return
	}
	more := max(wanted-c.held, step)
	if err := c.transport.options.Memory.Take(c.caller, budget.Responses, more); err != nil {
		c.abort(&CloseError{websocket.CloseAbnormalClosure, fmt.Sprintf("the client does not take what is sent to it: %v", err)})
		return
	}
	c.held += more
}

// writeChunk is how many bytes a client has to take within WriteTimeout.
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
