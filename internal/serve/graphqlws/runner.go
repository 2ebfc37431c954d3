package graphqlws

import "sync"

// runner gives turns to subscriptions that have a [Source], in the order in which they became ready. Its workers are
// there only while there is something to do.
type runner struct {
	limit int // of workers

	mu      sync.Mutex
	queue   list
	workers int
	working sync.WaitGroup // for the workers
}

// add gives p a turn after all that wait for theirs. p must be in no list.
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

// take returns whose turn it is, or nil if the worker is to end.
func (r *runner) take() *pushed {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.queue.pop()
	if p == nil {
		r.workers--
	}
	return p
}

// wait returns when there are no workers. All subscriptions have ended by then.
func (r *runner) wait() { r.working.Wait() }

// list is some subscriptions, first in, first out. Each of them is in one list at most.
type list struct{ first, last *pushed }

func (l *list) push(p *pushed) {
	if l.first == nil {
		l.first = p
	} else {
		l.last.next = p
	}
	l.last = p
}

// pop returns nil if there is none.
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
