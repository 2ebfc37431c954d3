// Package queue keeps the lines of a stream until its reader takes them.
//
// Followers collect lines in a Writer, and push them in chunks. Each container of the stream has its own chunks, in order.
// Next merges those of all containers by timestamp into batches.
//
// The queue is bounded. Lines that were written before their log was opened wait for room: they are never lost. Live
// lines do not wait: the oldest of them are dropped, and counted.
package queue

import (
	"context"
	"sync"
	"time"

	"pullwatch/internal/budget"
	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/cursor"
)

// Queue is what lies between the followers of a stream and its reader: at most MaxWaiting bytes, as far as the budget
// grants them, each container apart. Lines that had been written before their log was opened wait for room, in fair shares. Live lines do not:
// the oldest of them make room, and what was dropped is counted where it stood. As long as others wait, live lines wait
// with them, because it is those, not the reader, that they are behind.
type Queue struct {
	metrics *Metrics
	// changed wakes the reader.
	changed chan struct{}

	mu         sync.Mutex
	containers []*Container
	active     int
	size       int
	// limit is what size may be now: MinWaiting and what account has taken beyond it. refused is when it was last refused
	// more.
	account *budget.Account
	limit   int
	refused time.Time
	// history counts the chunks of lines that are not live.
	history int
	// passedSince is since when a container's progress has moved over lines of which the reader has no cursor; zero when
	// there are none.
	passedSince time.Time
	closed      bool
}

// New returns a queue for which account has MinWaiting. It is the queue's from now on.
func New(m *Metrics, account *budget.Account) *Queue {
	return &Queue{metrics: m, changed: make(chan struct{}, 1), account: account, limit: MinWaiting}
}

// Add adds a container that has been read up to m. It stays until it is retired.
func (q *Queue) Add(key cursor.ContainerKey, pod, container string, m cursor.Progress) *Container {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := &Container{Key: key, Pod: pod, Name: container, progress: m, room: make(chan struct{}, 1)}
	q.containers = append(q.containers, l)
	return l
}

// Activate says whether lines may come soon, so that those of others wait for them.
func (q *Queue) Activate(l *Container, active bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if l.active == active {
		return
	}
	l.active, l.silentSince = active, time.Now()
	if active {
		q.active++
	} else {
		q.active--
	}
	q.signal()
}

// Retire removes a container once it is empty.
func (q *Queue) Retire(l *Container) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l.retired = true
	q.removeRetired()
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

// cursorDue returns when the reader is to have a new cursor though nothing was handed over; zero when the one that it
// has will do.
func (q *Queue) cursorDue() time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.passedSince.IsZero() {
		return time.Time{}
	}
	return q.passedSince.Add(podlog.CursorInterval)
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

func (q *Queue) removeRetired() {
	kept := q.containers[:0]
	for _, l := range q.containers {
		if !l.retired || !l.empty() {
			kept = append(kept, l)
		}
	}
	clear(q.containers[len(kept):])
	q.containers = kept
}
