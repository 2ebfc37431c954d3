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

// incoming is a message that is being received, or dealt with.
type incoming struct {
	bytes []byte
	// taken is how many bytes of it were taken from the budget.
	taken int
}

// shortMessage is how long messages are that take no memory but what is counted for each connection.
const shortMessage = 1 << 10

// longMessage is for how much room is made first in one that is longer. That is a large take: many unfinished messages
// leave memory for new connections.
const longMessage = 128 << 10

var incomingPool = sync.Pool{New: func() any { return &incoming{bytes: make([]byte, 0, shortMessage)} }}

func takeIncoming() *incoming { return incomingPool.Get().(*incoming) }

// putIncoming is called when a message has been dealt with. A long one is not kept: nobody would count it while another
// comes in.
func (c *connection) putIncoming(m *incoming) {
	if m.taken == 0 {
		m.bytes = m.bytes[:0]
		incomingPool.Put(m)
		return
	}
	c.transport.options.Memory.Give(c.address, budget.Requests, m.taken)
}

// readMessage reads a message. As long as there is no memory for it, the rest of it waits in the kernel.
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

// lengthen makes room for so many bytes in a message.
func (c *connection) lengthen(m *incoming, length int) error {
	memory := c.transport.options.Memory
	if memory.Take(c.address, budget.Requests, length) != nil {
		if err := c.awaitMemory(memory, length); err != nil {
			return &CloseError{websocket.CloseTryAgainLater, err.Error()}
		}
	}
	m.bytes = append(make([]byte, 0, length), m.bytes...)
	memory.Give(c.address, budget.Requests, m.taken)
	m.taken = length
	return nil
}

// awaitMemory takes bytes as soon as there are so many, unless the connection ends before that.
func (c *connection) awaitMemory(memory *budget.Budget, bytes int) error {
	ctx, cancel := context.WithTimeout(context.Background(), memoryWait)
	defer cancel()
	c.mu.Lock()
	c.giveUp = cancel
	if c.ending {
		cancel()
	}
	c.mu.Unlock()
	err := memory.Wait(ctx, c.address, budget.Requests, bytes)
	c.mu.Lock()
	c.giveUp = nil
	c.mu.Unlock()
	return err
}
