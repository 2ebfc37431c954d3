// Package queue keeps the lines of a stream until its reader takes them.
//
// Followers collect lines in a Writer, and push them in chunks. Each container of the stream has its own chunks, in order.
// Next merges those of all containers by timestamp into batches.
//
// The queue is bounded. Lines that were written before their log was opened wait for room: they are never lost. Live
// lines do not wait: the oldest of them are dropped, and counted.
package queue

import (
	"sync"
	"time"

	"pullwatch/internal/budget"
	"pullwatch/internal/podlog/cursor"
)

// MinWaiting is what a queue may hold in any case, so that its stream goes on, in bytes.
const MinWaiting = MaxChunkBytes

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
