// Package turns limits how much long work runs at a time, and lets callers take turns. A caller is all clients at one
// address (see package caller). One that asks for much slows down only itself. Long work is work that keeps a processor
// busy.
package turns

import (
	"context"
	"sync"
)

// Turns lets a number of workers run at a time. Any number of goroutines may use it.
type Turns struct {
	mu   sync.Mutex
	free int // workers that may start at once
	// queues are those of the callers that wait. The first one is next.
	queues []*queue
	byName map[string]*queue
}

// queue holds the waiters of one caller. The first one is next. A waiter is closed when its turn comes.
type queue struct {
	caller  string
	waiters []chan struct{}
}

// New returns Turns for a number of workers at a time.
func New(workers int) *Turns { return &Turns{free: workers, byName: map[string]*queue{}} }

// Take waits for the caller's turn. Call end once, when the work is done. The error is ctx's cause.
func (t *Turns) Take(ctx context.Context, caller string) (end func(), err error) {
	t.mu.Lock()
	if t.free > 0 {
		t.free--
		t.mu.Unlock()
		return t.end, nil
	}
	turn := make(chan struct{})
	q := t.byName[caller]
	if q == nil {
		q = &queue{caller: caller}
		t.byName[caller] = q
		t.queues = append(t.queues, q)
	}
	q.waiters = append(q.waiters, turn)
	t.mu.Unlock()
	select {
	case <-turn:
		return t.end, nil
	case <-ctx.Done():
	}
	if !t.leave(q, turn) {
		t.end() // the turn came meanwhile
	}
	return nil, context.Cause(ctx)
}

// leave removes a waiter. It returns false if the waiter's turn has come.
func (t *Turns) leave(q *queue, turn chan struct{}) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, other := range q.waiters {
		if other != turn {
			continue
		}
		q.waiters = append(q.waiters[:i], q.waiters[i+1:]...)
		if len(q.waiters) == 0 {
			t.removeLocked(q)
		}
		return true
	}
	return false
}

// removeLocked removes the queue of a caller that no longer waits.
func (t *Turns) removeLocked(q *queue) {
	delete(t.byName, q.caller)
	for i, other := range t.queues {
		if other == q {
			t.queues = append(t.queues[:i], t.queues[i+1:]...)
			return
		}
	}
}

// end gives the turn to the next caller: the one whose last turn is longest ago.
func (t *Turns) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.queues) == 0 {
		t.free++
		return
	}
	q := t.queues[0]
	t.queues = t.queues[1:]
	close(q.waiters[0])
	if q.waiters = q.waiters[1:]; len(q.waiters) > 0 {
		t.queues = append(t.queues, q)
	} else {
		delete(t.byName, q.caller)
	}
}
