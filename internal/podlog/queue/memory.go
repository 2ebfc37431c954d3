package queue

import (
	"time"

	"pullwatch/internal/budget"
	"pullwatch/internal/podlog"
)

const (
	// WaitingStep is how much more a queue takes at a time, in bytes.
	WaitingStep = 128 << 10
	// refusalPause is how long a queue does not ask for more after a refusal.
	refusalPause = time.Second
)

// MinWaiting is what a queue of lines of at most maxLineBytes may hold in any case, so that its stream goes on, in bytes. Four
// lines that are longer than by default have room, beside notices.
func MinWaiting(maxLineBytes int) int {
	if maxLineBytes <= podlog.DefaultLineBytes {
		return MaxChunkBytes
	}
	return MaxChunkBytes + 4*(ChunkOverhead+LineOverhead+maxLineBytes)
}

// grow reports whether the queue may hold n bytes. It takes more memory for them if it can.
func (q *Queue) grow(n int) bool {
	for n > q.limit {
		step := min(WaitingStep, q.maxLimit()-q.limit)
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

// giveBack gives back memory that is not needed. It leaves twice what is in use, so that a queue that fills and empties
// again seldom takes and gives.
func (q *Queue) giveBack() {
	if q.limit <= q.least || q.size > q.limit/4 {
		return
	}
	limit := max(q.least, 2*q.size)
	q.account.Give(budget.Logs, q.limit-limit)
	q.limit = limit
}

// Release gives back all memory when the stream has ended. Next may still return what waits.
func (q *Queue) Release() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.account.Close()
	q.limit = q.least
}

// maxLimit is what limit may be raised to now.
func (q *Queue) maxLimit() int {
	if q.refused.IsZero() || time.Since(q.refused) >= refusalPause {
		return q.most
	}
	return q.limit
}

// share is how many bytes of history a container may hold, so that each container can have lines to merge. All shares
// together do not make the queue crowded.
func (q *Queue) share() int {
	sharing := 0
	for _, c := range q.open {
		if c.active || !c.empty() {
			sharing++
		}
	}
	limit := q.maxLimit()
	if sharing <= 1 {
		return limit
	}
	return (limit - q.reserve(limit)) / sharing
}

// reserve is the part of a queue's limit that containers do not share: the largest chunk has room in it.
func (q *Queue) reserve(limit int) int { return min(max(MaxChunkBytes, q.longest), limit/2) }

// ChunkLimit is how many bytes a chunk should have at most now.
func (q *Queue) ChunkLimit() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return min(MaxChunkBytes, q.share()/2)
}

// Bytes returns how many bytes wait in the queue.
func (q *Queue) Bytes() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.size
}
