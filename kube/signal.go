package kube

import "sync"

// signal wakes everyone who waits for a change. A waiter that has not yet looked is woken once for any number of changes.
type signal struct {
	mu      sync.Mutex
	waiters map[chan struct{}]struct{}
}

// subscribe returns a channel that has a value once something has changed since the last receive, and the function that
// ends the subscription.
func (s *signal) subscribe() (<-chan struct{}, func()) {
	c := make(chan struct{}, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiters == nil {
		s.waiters = map[chan struct{}]struct{}{}
	}
	s.waiters[c] = struct{}{}
	return c, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.waiters, c)
	}
}

func (s *signal) notify() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.waiters {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}
