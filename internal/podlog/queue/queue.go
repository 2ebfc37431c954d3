// Package queue holds the lines of a stream until its reader takes them.
//
// A follower reads the log of one container. It collects lines in a Writer, and pushes them as a Chunk, with the progress
// that the container has behind them. A chunk may also be a notice. Each Container of the queue has its own chunks, in
// order. Next merges the lines of all containers by timestamp into batches.
//
// The queue is bounded: it holds at most podlog.MaxWaiting bytes, or four lines where those may be longer than a quarter of
// that. When the budget has no more, it holds less, down to MinWaiting. Lines are live when they were written after their log
// was opened; the others are history. History waits for room, each container with a fair share of it, and is never lost.
// Live lines do not wait: the oldest of them are dropped, and counted where they stood. But while history waits for room, live
// lines wait, too: they are behind the history, not behind a slow reader.
//
// The files in reading order, in which each needs only earlier ones: chunk, container, batch, metrics, queue, memory, push,
// merge, next.
package queue

import (
	"slices"
	"sync"
	"time"

	"pullwatch/internal/budget"
	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/cursor"
)

// Queue stands between the followers of a stream and its reader.
type Queue struct {
	metrics *Metrics
	// changed wakes the reader.
	changed chan struct{}

	mu sync.Mutex
	// containers are all that cursors have. open are those of them that have chunks, or may yet have some.
	containers, open []*Container
	size             int
	// limit is the present bound of size, from least to most: account takes what is beyond least. refused is when account last
	// refused more.
	account            *budget.Account
	limit, least, most int
	refused            time.Time
	// longest is the size of a chunk of one line, the longest that may come.
	longest int
	// history counts the chunks of lines that are history.
	history int
	// advancedAt is when Advance first moved a container's progress behind what the reader's last cursor says; zero when
	// that cursor is up to date.
	advancedAt time.Time
	// delivered is when the reader got its last batch.
	delivered time.Time
	closed    bool
}

// New returns a queue of lines of at most maxLineBytes, which account has taken MinWaiting for. The queue owns account from now
// on: Release closes it.
func New(p *Metrics, account *budget.Account, maxLineBytes int) *Queue {
	least := MinWaiting(maxLineBytes)
	return &Queue{
		metrics: p, changed: make(chan struct{}, 1), account: account, limit: least, least: least,
		most: max(podlog.MaxWaiting, least), longest: ChunkOverhead + LineOverhead + maxLineBytes,
	}
}

// Add adds a container that has been read up to p. It stays until Retire. A reader tells containers by their names. So
// if another one has the same names, of a pod that this pod replaces, the reader gets all of that one first.
func (q *Queue) Add(key cursor.ContainerKey, pod, container string, p cursor.Progress) *Container {
	q.mu.Lock()
	defer q.mu.Unlock()
	c := &Container{Key: key, Pod: pod, Name: container, progress: p, room: make(chan struct{}, 1)}
	for _, other := range q.containers {
		if other.Pod == pod && other.Name == container {
			c.predecessor = other
		}
	}
	q.containers, q.open = append(q.containers, c), append(q.open, c)
	return c
}

// Activate says whether c may have lines soon. Lines of other containers then wait for them, for a moment.
func (q *Queue) Activate(c *Container, active bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if c.active == active {
		return
	}
	c.active, c.silentSince = active, time.Now()
	q.signal()
}

// End says that c gets no more chunks.
func (q *Queue) End(c *Container) {
	q.Activate(c, false)
	q.mu.Lock()
	defer q.mu.Unlock()
	c.ended = true
	q.closeEnded()
	q.signal()
}

// Retire removes c, which has ended, once it is empty.
func (q *Queue) Retire(c *Container) {
	q.mu.Lock()
	defer q.mu.Unlock()
	c.retired = true
	if c.empty() {
		q.remove(c)
	}
}

// Close says that nothing more will come.
func (q *Queue) Close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.signal()
}

func (q *Queue) signal() {
	select {
	case q.changed <- struct{}{}:
	default:
	}
}

// closeEnded takes those that have ended and are empty out of open.
func (q *Queue) closeEnded() {
	q.open = slices.DeleteFunc(q.open, func(c *Container) bool {
		closed := c.ended && c.empty()
		if closed && c.retired {
			q.remove(c)
		}
		return closed
	})
}

func (q *Queue) remove(c *Container) {
	q.containers = slices.DeleteFunc(q.containers, func(other *Container) bool { return other == c })
}
