package graphqlws

import (
	"context"
	"sync"
	"time"
)

// queued is whole frames that wait to be sent on a connection, or are being sent.
type queued struct {
	frames   []byte
	messages int

	// The following are set while the frames are being sent.

	begun  time.Time
	unsent []byte           // the end of frames
	try    func(fd uintptr) // tryWrite as a function value, so that a write allocates nothing
	err    error            // of the last try
}

// queuePool keeps buffers, so that only connections with something to send have one.
var queuePool = sync.Pool{New: func() any {
	q := &queued{}
	q.try = q.tryWrite
	return q
}}

// keptBuffer is the largest buffer that goes back to the pool, in bytes. A large message must not stay in memory.
const keptBuffer = 512 << 10

func (q *queued) free() {
	if cap(q.frames) > keptBuffer {
		return
	}
	q.frames, q.messages, q.unsent = q.frames[:0], 0, nil
	queuePool.Put(q)
}

// enqueue appends a frame and returns its length. c.mu is held.
func (c *connection) enqueue(opcode byte, body func([]byte) []byte) int {
	if c.queue == nil {
		c.queue = queuePool.Get().(*queued)
	}
	before := len(c.queue.frames)
	c.queue.frames = appendFrame(c.queue.frames, opcode, body)
	c.queue.messages++
	added := len(c.queue.frames) - before
	if c.stalled {
		c.observeWaiting(0, added)
		c.holdWaiting()
	}
	return added
}

func (c *connection) isFull() bool {
	return c.queue != nil && len(c.queue.frames) >= c.transport.options.QueueLimit
}

// awaitSpace waits until the queue has space for a message, ctx is done, or the connection is ending. c.mu is held when it
// is called and when it returns.
func (c *connection) awaitSpace(ctx context.Context) {
	for c.isFull() && !c.ending && ctx.Err() == nil {
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

// signalSpace wakes all goroutines that wait for space. c.mu is held.
func (c *connection) signalSpace() {
	if c.space != nil {
		close(c.space)
		c.space = nil
	}
}

// sendControl queues a message or control frame that belongs to no operation. It waits while the queue is full: a client
// that sends pings and does not read the pongs must not fill memory.
func (c *connection) sendControl(opcode byte, body func([]byte) []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.awaitSpace(context.Background())
	if c.ending {
		return
	}
	c.enqueue(opcode, body)
	c.flush()
}
