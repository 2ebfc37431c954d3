package queue

import (
	"context"
	"time"

	"pullwatch/internal/podlog/cursor"
)

// Push queues a chunk; unless it is live, it blocks while there is no room. Its error is ctx's.
func (q *Queue) Push(ctx context.Context, l *Container, c *Chunk) error {
	for !q.TryPush(l, c) {
		select {
		case <-l.room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// TryPush queues a chunk if it may. Otherwise it sees to it that l.room wakes the caller.
func (q *Queue) TryPush(l *Container, c *Chunk) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if c.arrived.IsZero() { // else it has waited for room
		c.arrived = time.Now()
	}
	if !q.fits(l, c) {
		if !c.live || q.history > 0 {
			l.waiting = true
			q.signal()
			return false
		}
		q.dropOldest(c.size)
	}
	l.chunks = append(l.chunks, c)
	l.size += c.size
	q.size += c.size
	if len(c.lines) > 0 && !c.live {
		q.history++
	}
	q.signal()
	return true
}

func (q *Queue) fits(l *Container, c *Chunk) bool {
	if !c.live && !l.empty() && l.size+c.size > q.share() {
		return false
	}
	return q.grow(q.size+c.size) || q.size == 0
}

// dropOldest takes lines out, all of which are live, until n bytes have room.
func (q *Queue) dropOldest(n int) {
	for q.size+n > q.limit {
		var from *Container
		at := 0
		for _, l := range q.containers {
			i := l.oldestLines()
			if i >= 0 && (from == nil || l.chunks[i].arrived.Before(from.chunks[at].arrived)) {
				from, at = l, i
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

// Pass moves a container's progress over lines of which none was handed over.
func (q *Queue) Pass(l *Container, m cursor.Progress) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !l.empty() {
		l.chunks[len(l.chunks)-1].progress = m
		return
	}
	if q.passedSince.IsZero() && l.progress.Position != m.Position {
		q.passedSince = time.Now()
		q.signal()
	}
	l.progress = m
}
