package queue

import (
	"math"
	"time"

	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/cursor"
)

// take moves into b what may go now, and returns when to look again; zero means when the queue has changed.
func (q *Queue) take(b *batchBuilder) (again time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	defer q.giveBack()
	defer q.removeRetired()
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

// takeNotices moves the notices that stand before each container's next line.
func (q *Queue) takeNotices(b *batchBuilder, now time.Time) {
	for _, l := range q.containers {
		for !l.empty() && len(l.chunks[0].lines) == 0 {
			c := l.chunks[0]
			if !b.addNotice(l, c) {
				return
			}
			q.removeFirst(l, now)
			q.shrink(l, c.size)
		}
	}
}

// earliest returns the container whose next line has the earliest timestamp, and up to which timestamp it stays so.
func (q *Queue) earliest() (first *Container, limit int64) {
	limit = math.MaxInt64
	for _, l := range q.containers {
		c := l.line()
		switch {
		case c == nil:
		case first == nil:
			first = l
		case c.positions[0].Nanos < first.chunks[0].positions[0].Nanos:
			limit = first.chunks[0].positions[0].Nanos
			first = l
		default:
			limit = min(limit, c.positions[0].Nanos)
		}
	}
	return first, limit
}

// due returns when the next line of a container may go although others may yet bring earlier ones. A container that has been
// silent will hardly bring a line that is older than the window, so that nothing written before that is held back.
func (q *Queue) due(first *Container) time.Time {
	var silent time.Time
	for _, l := range q.containers {
		if l != first && l.active && l.empty() && l.silentSince.After(silent) {
			silent = l.silentSince
		}
	}
	c := first.chunks[0]
	if silent.IsZero() || q.crowded(c) {
		return time.Time{}
	}
	since := silent
	if c.live {
		if written := time.Unix(0, c.positions[0].Nanos); written.After(since) {
			since = written
		}
		if since.After(c.arrived) {
			since = c.arrived
		}
	}
	return since.Add(podlog.ReorderWindow)
}

// crowded reports whether a line must not be held back, because others could not come in, or would be dropped.
func (q *Queue) crowded(c *Chunk) bool {
	reach := q.reach()
	if c.live {
		return q.size > reach/2
	}
	return q.size > reach-reserve(reach)
}

// takeLines moves lines of a container's first chunk, the first one in any case, and others up to the timestamp limit.
func (q *Queue) takeLines(b *batchBuilder, l *Container, limit int64, now time.Time) {
	c := l.chunks[0]
	n, size := 0, 0
	for n < len(c.lines) && (n == 0 || c.positions[n].Nanos <= limit) && b.addLine(l, c, n) {
		size += LineOverhead + len(c.lines[n].Message)
		n++
	}
	if n == 0 {
		return
	}
	l.progress = cursor.Progress{Run: c.progress.Run, Restarts: c.progress.Restarts, Position: c.positions[n-1]}
	c.lines, c.positions = c.lines[n:], c.positions[n:]
	c.size -= size
	if len(c.lines) == 0 {
		if !c.live {
			q.history--
		}
		q.removeFirst(l, now)
		size += c.size
	}
	q.shrink(l, size)
}

// shrink takes n bytes off a container that the reader has taken, and lets others in.
func (q *Queue) shrink(l *Container, n int) {
	l.size -= n
	q.size -= n
	for _, other := range q.containers {
		other.wake()
	}
}

// removeFirst removes the first chunk of a container, which the reader has taken.
func (q *Queue) removeFirst(l *Container, now time.Time) {
	c := l.chunks[0]
	l.progress = c.progress
	l.chunks[0] = nil
	l.chunks = l.chunks[1:]
	if l.empty() && c.notice == nil {
		l.silentSince = now
	}
}
