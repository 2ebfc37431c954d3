package graphqlws

import (
	"fmt"
	"syscall"
	"time"

	"github.com/gorilla/websocket"

	"pullwatch/internal/budget"
)

// unsentLimit is how many bytes the kernel takes beyond what the peer's receive window has room for.
const unsentLimit = 64 << 10

// flushShare is how much flush writes by itself before it leaves the rest to a goroutine, so that whoever calls it is
// not kept busy with what others go on to queue.
const flushShare = 16 << 10

// flush sends what is queued, unless somebody is at it already. It does not wait for the peer: what the kernel does
// not take at once is left to a goroutine that lives until the queue is empty. c.mu is held when it is called and when
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

// takeQueue returns what is queued, for writing it. c.mu is held.
func (c *connection) takeQueue() *queued {
	q := c.queue
	c.queue = nil
	c.tellSpace()
	q.unsent, q.begun = q.frames, time.Now()
	return q
}

// writeSome writes what the kernel takes at once.
func (q *queued) writeSome(raw syscall.RawConn) error {
	if err := raw.Control(q.attempt); err != nil {
		return err
	}
	return q.err
}

// written is called when q has been written. c.mu is held.
func (c *connection) written(q *queued, err error) {
	if err == nil {
		c.transport.options.Observer.Sent(q.messages, len(q.frames), time.Since(q.begun))
	} else {
		reason := fmt.Sprintf("the peer does not take what is sent to it: %v", err)
		c.abort(&CloseError{websocket.CloseAbnormalClosure, reason})
		c.queue = nil
	}
	q.free()
}

// endWriting is called by who writes no more. c.mu is held.
func (c *connection) endWriting() {
	c.writing = false
	if c.stalled {
		c.stalled = false
		c.tellWaiting(-1, -c.waiting)
		c.transport.options.Memory.Give(c.address, budget.Responses, c.held)
		c.held = 0
	}
	c.unpark()
	if c.flushed != nil && c.queue == nil {
		close(c.flushed)
		c.flushed = nil
	}
}

// writeLater writes q, and all that is queued meanwhile, in a goroutine that ends when that is done. c.mu is held.
func (c *connection) writeLater(q *queued) {
	c.stalled = true
	waiting := len(q.unsent)
	if c.queue != nil {
		waiting += len(c.queue.frames)
	}
	c.tellWaiting(1, waiting)
	c.holdWaiting()
	c.goroutines.Go(func() {
		for q != nil {
			q = c.writeAll(q)
		}
	})
}

// writeAll writes q and returns what has been queued meanwhile, or nil if there is nothing.
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
	c.tellWaiting(0, -waited)
	return c.takeQueue()
}

// tellWaiting is for [Observer.Waiting]. c.mu is held.
func (c *connection) tellWaiting(connections, bytes int) {
	c.waiting += bytes
	c.transport.options.Observer.Waiting(connections, bytes)
}

// waitingLump is how many bytes are taken from the budget at a time for a peer that does not read.
const waitingLump = 16 << 10

// holdWaiting takes from the budget what waits for the peer, and what the kernel holds for it by then. Without room for
// that the connection ends. c.mu is held.
func (c *connection) holdWaiting() {
	wanted, lump := c.waiting, 0
	if c.raw != nil { // otherwise whatever is written counts as waiting, for a moment
		wanted, lump = wanted+unsentLimit, waitingLump
	}
	if wanted <= c.held {
		return
	}
	more := max(wanted-c.held, lump)
	if err := c.transport.options.Memory.Take(c.address, budget.Responses, more); err != nil {
		c.abort(&CloseError{websocket.CloseAbnormalClosure, fmt.Sprintf("the peer does not take what is sent to it: %v", err)})
		return
	}
	c.held += more
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
