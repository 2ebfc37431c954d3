package queue

import (
	"math"
	"time"

	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/cursor"
)

// take moves into b what may be delivered now. It returns when to call it again; zero means when the queue has changed.
func (q *Queue) take(b *batchBuilder) (again time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	b.single, b.due = q.single(), q.delivered.Add(podlog.BatchGap)
	defer q.giveBack()
	defer q.closeEnded()
	for {
		q.takeNotices(b, now)
		if b.full {
			return time.Time{}
		}
		first, limit := q.earliest()
		if first == nil {
			b.ended = q.closed
			return time.Time{}
		}
		if due := q.due(first); due.After(now) {
			return due
		}
		q.takeLines(b, first, limit, now)
	}
}

// single reports whether only one container may still have lines.
func (q *Queue) single() bool {
	n := 0
	for _, c := range q.open {
		if c.Name != "" {
			n++
		}
	}
	return n == 1
}

// takeNotices moves the notices that stand before each container's next line.
func (q *Queue) takeNotices(b *batchBuilder, now time.Time) {
	for _, c := range q.open {
		for !c.empty() && len(c.chunks[0].lines) == 0 && !c.blocked() {
			chunk := c.chunks[0]
			if !b.addNotice(c, chunk) {
				return
			}
			q.removeFirst(c, now)
			q.shrink(c, chunk.size)
		}
	}
}

// earliest returns the container whose next line has the earliest timestamp. Its lines up to the timestamp limit come before
// those of all others. It returns nil when there are no lines.
func (q *Queue) earliest() (first *Container, limit int64) {
	limit = math.MaxInt64
	for _, c := range q.open {
		chunk := c.line()
		switch {
		case chunk == nil:
		case first == nil:
			first = c
		case chunk.positions[0].Nanos < first.chunks[0].positions[0].Nanos:
			limit = first.chunks[0].positions[0].Nanos
			first = c
		default:
			limit = min(limit, chunk.positions[0].Nanos)
		}
	}
	return first, limit
}

// due returns when the next line of first may be delivered although other containers may yet have earlier ones; zero means
// now. An active container without lines will hardly have one that is older than the window. So only lines that were
// written within the window wait.
func (q *Queue) due(first *Container) time.Time {
	var silent time.Time
	for _, c := range q.open {
		if c != first && c.active && c.empty() && c.silentSince.After(silent) {
			silent = c.silentSince
		}
	}
	chunk := first.chunks[0]
	if silent.IsZero() || q.crowded(chunk) {
		return time.Time{}
	}
	since := silent
	if chunk.live {
		if written := time.Unix(0, chunk.positions[0].Nanos); written.After(since) {
			since = written
		}
		if since.After(chunk.arrived) {
			since = chunk.arrived
		}
	}
	return since.Add(podlog.ReorderWindow)
}

// crowded reports whether the queue is so full that lines must not wait for those of other containers: history could not
// come in, or live lines would be dropped.
func (q *Queue) crowded(chunk *Chunk) bool {
	limit := q.maxLimit()
	if chunk.live {
		return q.size > limit/2
	}
	return q.size > limit-q.reserve(limit)
}

// takeLines moves lines of c's first chunk into b: the first line in any case, and others up to the timestamp limit.
func (q *Queue) takeLines(b *batchBuilder, c *Container, limit int64, now time.Time) {
	chunk := c.chunks[0]
	n, size := 0, 0
	for n < len(chunk.lines) && (n == 0 || chunk.positions[n].Nanos <= limit) && b.addLine(c, chunk, n) {
		size += LineOverhead + len(chunk.lines[n].Message)
		n++
	}
	if n == 0 {
		return
	}
	c.progress = cursor.Progress{Run: chunk.progress.Run, Restarts: chunk.progress.Restarts, Position: chunk.positions[n-1]}
	chunk.lines, chunk.positions = chunk.lines[n:], chunk.positions[n:]
	chunk.size -= size
	if len(chunk.lines) == 0 {
		if !chunk.live {
			q.history--
		}
		q.removeFirst(c, now)
		size += chunk.size
	}
	q.shrink(c, size)
}

// shrink notes that the reader has taken n bytes of c, and wakes followers that wait for room.
func (q *Queue) shrink(c *Container, n int) {
	c.size -= n
	q.size -= n
	for _, other := range q.open {
		other.wake()
	}
}

// removeFirst removes c's first chunk, which the reader has taken.
func (q *Queue) removeFirst(c *Container, now time.Time) {
	chunk := c.chunks[0]
	c.progress = chunk.progress
	c.chunks[0] = nil
	c.chunks = c.chunks[1:]
	if c.empty() && chunk.notice == nil {
		c.silentSince = now
	}
}
