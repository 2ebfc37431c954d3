package podlog

import (
	"context"
	"sync"
	"time"

	"pullwatch/internal/budget"
)

// queue is what lies between the followers of a stream and its reader: at most MaxWaiting bytes, as far as the budget
// grants them, in a lane for each container. Lines that had been written before their log was opened wait for room, in fair shares. Live lines do not:
// the oldest of them make room, and what was dropped is counted where it stood. As long as others wait, live lines wait
// with them, because it is those, not the reader, that they are behind.
type queue struct {
	metrics *Metrics
	// changed wakes the reader.
	changed chan struct{}

	mu     sync.Mutex
	lanes  []*lane
	active int
	size   int
	// limit is what size may be now: minWaiting and what account has taken beyond it. refused is when it was last refused
	// more.
	account *budget.Account
	limit   int
	refused time.Time
	// history counts the chunks of lines that are not live.
	history int
	// passedSince is since when a container's mark has moved over lines of which the reader has no cursor; zero when
	// there are none.
	passedSince time.Time
	closed      bool
}

// newQueue returns a queue for which account has minWaiting. It is the queue's from now on.
func newQueue(m *Metrics, account *budget.Account) *queue {
	return &queue{metrics: m, changed: make(chan struct{}, 1), account: account, limit: minWaiting}
}

const (
	// minWaiting is what a queue may hold in any case, so that its stream goes on.
	minWaiting = maxChunkBytes
	// waitingStep is what it takes more at a time.
	waitingStep = 128 << 10
	// refusalPause is how long it does not ask for more when that was refused.
	refusalPause = time.Second
)

// add adds a lane, which stays until it is retired.
func (q *queue) add(l *lane) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.lanes = append(q.lanes, l)
}

// activate says whether lines may come soon, so that those of others wait for them.
func (q *queue) activate(l *lane, active bool) {
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

// retire removes a lane once it is empty.
func (q *queue) retire(l *lane) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l.retired = true
	q.removeRetired()
}

// close says that nothing more will come.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.signal()
}

func (q *queue) signal() {
	select {
	case q.changed <- struct{}{}:
	default:
	}
}

// push queues a chunk; unless it is live, it blocks while there is no room. Its error is ctx's.
func (q *queue) push(ctx context.Context, l *lane, c *chunk) error {
	c.arrived = time.Now()
	for !q.tryPush(l, c) {
		select {
		case <-l.room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// tryPush queues a chunk if it may. Otherwise it sees to it that l.room wakes the caller.
func (q *queue) tryPush(l *lane, c *chunk) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
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

func (q *queue) fits(l *lane, c *chunk) bool {
	if !c.live && !l.empty() && l.size+c.size > q.share() {
		return false
	}
	return q.grow(q.size+c.size) || q.size == 0
}

// grow reports whether the queue may hold n bytes, for which it takes more memory if it can.
func (q *queue) grow(n int) bool {
	for n > q.limit {
		step := min(waitingStep, q.reach()-q.limit)
		if step <= 0 {
			return false
		}
		if q.account.Take(budget.Logs, step) != nil {
			q.refused = time.Now()
			return false
		}
		q.limit += step
	}
	return true
}

// giveBack gives back what is not needed. What is kept is such that a queue which is filled and emptied again takes and
// gives seldom.
func (q *queue) giveBack() {
	if q.limit <= minWaiting || q.size > q.limit/4 {
		return
	}
	limit := max(minWaiting, 2*q.size)
	q.account.Give(budget.Logs, q.limit-limit)
	q.limit = limit
}

// release gives back all memory when the stream has ended. What still waits may be taken.
func (q *queue) release() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.account.Close()
	q.limit = minWaiting
}

// reach is up to where the limit may be raised.
func (q *queue) reach() int {
	if q.refused.IsZero() || time.Since(q.refused) >= refusalPause {
		return MaxWaiting
	}
	return q.limit
}

// share is what a lane may hold while others are active, so that each can have something to merge. All of them together
// leave it at what is not crowded.
func (q *queue) share() int {
	sharing := 0
	for _, l := range q.lanes {
		if l.active || !l.empty() {
			sharing++
		}
	}
	reach := q.reach()
	if sharing <= 1 {
		return reach
	}
	return (reach - reserve(reach)) / sharing
}

// reserve is what of a queue of so many bytes lanes do not share.
func reserve(reach int) int { return min(maxChunkBytes, reach/2) }

// chunkLimit is how many bytes a chunk should have at most.
func (q *queue) chunkLimit() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return min(maxChunkBytes, q.share()/2)
}

// pass moves a container's mark over lines of which none was handed over.
func (q *queue) pass(l *lane, m mark) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !l.empty() {
		l.chunks[len(l.chunks)-1].mark = m
		return
	}
	if q.passedSince.IsZero() && l.mark.position != m.position {
		q.passedSince = time.Now()
		q.signal()
	}
	l.mark = m
}

// cursorDue returns when the reader is to have a new cursor though nothing was handed over; zero when the one that it
// has will do.
func (q *queue) cursorDue() time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.passedSince.IsZero() {
		return time.Time{}
	}
	return q.passedSince.Add(CursorInterval)
}

// dropOldest takes lines out, all of which are live, until n bytes have room.
func (q *queue) dropOldest(n int) {
	for q.size+n > q.limit {
		var from *lane
		at := 0
		for _, l := range q.lanes {
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

// oldestLines returns the index of the first chunk that has lines, or -1.
func (l *lane) oldestLines() int {
	for i, c := range l.chunks {
		if len(c.lines) > 0 {
			return i
		}
	}
	return -1
}

// drop leaves of a chunk only how many lines it had, together with those that were dropped right before it. It returns
// how many bytes that frees.
func (l *lane) drop(i int) int {
	c := l.chunks[i]
	before := l.size
	l.size -= c.size
	c.dropped, c.size = len(c.lines), chunkOverhead
	c.lines, c.positions = nil, nil
	if i > 0 && l.chunks[i-1].dropped > 0 {
		l.chunks[i-1].dropped += c.dropped
		l.chunks[i-1].mark = c.mark
		l.chunks = append(l.chunks[:i], l.chunks[i+1:]...)
	} else {
		l.size += c.size
	}
	return before - l.size
}

// shrink takes n bytes off a lane that the reader has taken, and lets others in.
func (q *queue) shrink(l *lane, n int) {
	l.size -= n
	q.size -= n
	for _, other := range q.lanes {
		other.wake()
	}
}

// removeFirst removes the first chunk of a lane, which the reader has taken.
func (q *queue) removeFirst(l *lane, now time.Time) {
	c := l.chunks[0]
	l.mark = c.mark
	l.chunks[0] = nil
	l.chunks = l.chunks[1:]
	if l.empty() && c.notice == nil {
		l.silentSince = now
	}
}

func (q *queue) removeRetired() {
	kept := q.lanes[:0]
	for _, l := range q.lanes {
		if !l.retired || !l.empty() {
			kept = append(kept, l)
		}
	}
	clear(q.lanes[len(kept):])
	q.lanes = kept
}
