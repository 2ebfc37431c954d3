package graphqlws

import "sync"

// runner gives turns to subscriptions that have a [Source], in the order in which they became ready. It has workers only
// while a subscription waits for its turn.
type runner struct {
	limit int // of workers

	mu      sync.Mutex
	queue   list
	workers int
	working sync.WaitGroup // for the workers
}

// add lets p wait for its turn. p must not be in a list.
func (r *runner) add(p *pushed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queue.push(p)
	if r.workers < r.limit {
		r.workers++
		r.working.Go(r.work)
	}
}

func (r *runner) work() {
	for p := r.take(); p != nil; p = r.take() {
		p.turn()
	}
}

// take returns the subscription whose turn it is. It returns nil if there is none: then the worker ends.
func (r *runner) take() *pushed {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.queue.pop()
	if p == nil {
		r.workers--
	}
	return p
}

// wait returns when all workers have ended. Call it when all subscriptions have ended.
func (r *runner) wait() { r.working.Wait() }

// list is a queue of subscriptions, first in, first out. A subscription is in one list at most.
type list struct{ first, last *pushed }

func (l *list) push(p *pushed) {
	if l.first == nil {
		l.first = p
	} else {
		l.last.next = p
	}
	l.last = p
}

// pop returns nil if the list is empty.
func (l *list) pop() *pushed {
	p := l.first
	if p != nil {
		l.first, p.next = p.next, nil
	}
	if l.first == nil {
		l.last = nil
	}
	return p
}
