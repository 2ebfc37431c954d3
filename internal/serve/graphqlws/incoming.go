package graphqlws

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"pullwatch/internal/budget"
)

// incoming is a message that is being received or handled.
type incoming struct {
	bytes []byte
	// taken is how many bytes of it were taken from the budget.
	taken int
}

// shortMessage is the longest message whose memory is part of connectionMemory, in bytes.
const shortMessage = 1 << 10

// longMessage is how many bytes a longer message takes first. That is a large take (see package budget), so that many
// unfinished messages leave memory for new connections.
const longMessage = 128 << 10

var incomingPool = sync.Pool{New: func() any { return &incoming{bytes: make([]byte, 0, shortMessage)} }}

func takeIncoming() *incoming { return incomingPool.Get().(*incoming) }

// putIncoming is called when a message has been handled. A long one does not go back to the pool: nothing would count its
// memory while it holds the next message.
func (c *connection) putIncoming(m *incoming) {
	if m.taken == 0 {
		m.bytes = m.bytes[:0]
		incomingPool.Put(m)
		return
	}
	c.transport.options.Memory.Give(c.caller, budget.Requests, m.taken)
}

// readMessage reads a message. While there is no memory for it, the rest of it stays in the kernel.
func (c *connection) readMessage(m *incoming, reader io.Reader) error {
	limit := c.transport.options.MessageLimit
	for {
		if len(m.bytes) > limit {
			return &CloseError{websocket.CloseMessageTooBig, fmt.Sprintf("the message is longer than %d bytes", limit)}
		}
		if len(m.bytes) == cap(m.bytes) {
			if err := c.lengthen(m, min(max(longMessage, 8*cap(m.bytes)), limit+1)); err != nil {
				return err
			}
		}
		n, err := reader.Read(m.bytes[len(m.bytes):min(cap(m.bytes), limit+1)])
		m.bytes = m.bytes[:len(m.bytes)+n]
		switch {
		case errors.Is(err, io.EOF):
			c.transport.options.Observer.Received(len(m.bytes))
			return nil
		case err != nil:
			return err
		}
	}
}

// memoryWait is how long a message may wait for memory.
const memoryWait = 5 * time.Second

// lengthen takes memory for so many bytes, and makes that the capacity of the message.
func (c *connection) lengthen(m *incoming, length int) error {
	memory := c.transport.options.Memory
	if memory.Take(c.caller, budget.Requests, length) != nil {
		if err := c.awaitMemory(memory, length); err != nil {
			return &CloseError{websocket.CloseTryAgainLater, err.Error()}
		}
	}
	m.bytes = append(make([]byte, 0, length), m.bytes...)
	memory.Give(c.caller, budget.Requests, m.taken)
	m.taken = length
	return nil
}

// awaitMemory waits for memory until memoryWait is over or the connection ends.
func (c *connection) awaitMemory(memory *budget.Budget, bytes int) error {
	ctx, cancel := context.WithTimeout(context.Background(), memoryWait)
	defer cancel()
	c.mu.Lock()
	c.giveUp = cancel
	if c.ending {
		cancel()
	}
	c.mu.Unlock()
	err := memory.Wait(ctx, c.caller, budget.Requests, bytes)
	c.mu.Lock()
	c.giveUp = nil
	c.mu.Unlock()
	return err
}
