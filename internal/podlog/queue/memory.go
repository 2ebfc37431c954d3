package queue

import (
	"time"

	"pullwatch/internal/budget"
	"pullwatch/internal/podlog"
)

const (
	// WaitingStep is what it takes more at a time.
	WaitingStep = 128 << 10
	// refusalPause is how long it does not ask for more when that was refused.
	refusalPause = time.Second
)

// grow reports whether the queue may hold n bytes, for which it takes more memory if it can.
func (q *Queue) grow(n int) bool {
	for n > q.limit {
		step := min(WaitingStep, q.reach()-q.limit)
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
func (q *Queue) giveBack() {
	if q.limit <= MinWaiting || q.size > q.limit/4 {
		return
	}
	limit := max(MinWaiting, 2*q.size)
	q.account.Give(budget.Logs, q.limit-limit)
	q.limit = limit
}

// Release gives back all memory when the stream has ended. What still waits may be taken.
func (q *Queue) Release() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.account.Close()
	q.limit = MinWaiting
}

// reach is up to where the limit may be raised.
func (q *Queue) reach() int {
	if q.refused.IsZero() || time.Since(q.refused) >= refusalPause {
		return podlog.MaxWaiting
	}
	return q.limit
}

// share is what a container may hold while others are active, so that each can have something to merge. All of them together
// leave it at what is not crowded.
func (q *Queue) share() int {
	sharing := 0
	for _, l := range q.containers {
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

// reserve is what of a queue of so many bytes containers do not share.
func reserve(reach int) int { return min(MaxChunkBytes, reach/2) }

// ChunkLimit is how many bytes a chunk should have at most.
func (q *Queue) ChunkLimit() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return min(MaxChunkBytes, q.share()/2)
}

// Bytes is how many bytes wait in the queue.
func (q *Queue) Bytes() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.size
}
