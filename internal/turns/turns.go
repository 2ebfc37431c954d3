// Package turns shares out work that takes a processor for long, so that a client who asks for much of it slows down
// nobody but himself: only so much of it is done at a time, and clients take turns.
package turns

import (
	"context"
	"sync"
)

// Turns lets so many work at a time. It is for any number of goroutines.
type Turns struct {
	mu   sync.Mutex
	free int
	// queues are those of clients that wait, in the order of their turns.
	queues []*queue
	byName map[string]*queue
}

// queue is the waiters of one client, the first one first.
type queue struct {
	client  string
	waiters []chan struct{}
}

// New returns Turns for so many workers at a time.
func New(workers int) *Turns { return &Turns{free: workers, byName: map[string]*queue{}} }

// Take waits for a turn of the client and returns what ends it, which is to be called once. The error is ctx's.
func (t *Turns) Take(ctx context.Context, client string) (end func(), err error) {
	t.mu.Lock()
	if t.free > 0 {
		t.free--
		t.mu.Unlock()
		return t.end, nil
	}
	turn := make(chan struct{})
	q := t.byName[client]
	if q == nil {
		q = &queue{client: client}
		t.byName[client] = q
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
		t.end() // it has come meanwhile
	}
	return nil, context.Cause(ctx)
}

// leave takes a waiter away. It reports false if the waiter has got its turn.
func (t *Turns) leave(q *queue, turn chan struct{}) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, other := range q.waiters {
		if other != turn {
			continue
		}
		q.waiters = append(q.waiters[:i], q.waiters[i+1:]...)
		if len(q.waiters) == 0 {
			t.remove(q)
		}
		return true
	}
	return false
}

// remove removes the queue of a client that no longer waits. t.mu is held.
func (t *Turns) remove(q *queue) {
	delete(t.byName, q.client)
	for i, other := range t.queues {
		if other == q {
			t.queues = append(t.queues[:i], t.queues[i+1:]...)
			return
		}
	}
}

// end gives the turn to the client who has waited for longest since its last one.
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
		delete(t.byName, q.client)
	}
}
