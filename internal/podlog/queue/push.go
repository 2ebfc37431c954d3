package queue

import (
	"context"
	"time"

	"pullwatch/internal/podlog/cursor"
)

// Push queues a chunk. It waits for room, unless the chunk is live and no history waits. Its error is ctx's.
func (q *Queue) Push(ctx context.Context, c *Container, chunk *Chunk) error {
	for !q.TryPush(c, chunk) {
		select {
		case <-c.room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// TryPush queues a chunk if there is room, or if it is live and the oldest live lines can make room. Otherwise it returns
// false, and c.room gets a value when there may be room.
func (q *Queue) TryPush(c *Container, chunk *Chunk) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if chunk.arrived.IsZero() { // else it has waited for room
		chunk.arrived = time.Now()
	}
	if !q.fits(c, chunk) {
		if !chunk.live || q.history > 0 {
			c.waiting = true
			q.signal()
			return false
		}
		q.dropOldest(chunk.size)
	}
	c.chunks = append(c.chunks, chunk)
	c.size += chunk.size
	q.size += chunk.size
	if len(chunk.lines) > 0 && !chunk.live {
		q.history++
	}
	q.signal()
	return true
}

func (q *Queue) fits(c *Container, chunk *Chunk) bool {
	if !chunk.live && !c.empty() && c.size+chunk.size > q.share() {
		return false
	}
	return q.grow(q.size+chunk.size) || q.size == 0
}

// dropOldest drops the oldest lines until n bytes have room. All lines in the queue are live.
func (q *Queue) dropOldest(n int) {
	for q.size+n > q.limit {
		var from *Container
		at := 0
		for _, c := range q.open {
			i := c.oldestLines()
			if i >= 0 && (from == nil || c.chunks[i].arrived.Before(from.chunks[at].arrived)) {
				from, at = c, i
			}
		}
		if from == nil {
			return
		}
		dropped := len(from.chunks[at].lines)
		q.size -= from.drop(at)
		q.metrics.dropped(dropped)
	}
}

// Advance moves c's progress behind lines that the filters left out.
func (q *Queue) Advance(c *Container, p cursor.Progress) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !c.empty() {
		c.chunks[len(c.chunks)-1].progress = p
		return
	}
	if q.advancedAt.IsZero() && c.progress.Position != p.Position {
		q.advancedAt = time.Now()
		q.signal()
	}
	c.progress = p
}
