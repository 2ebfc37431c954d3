// Package broadcast wakes everyone who waits for a change.
package broadcast

import "sync"

// Signal wakes its subscribers. A subscriber that has not received yet is woken once for any number of changes. The zero
// Signal is ready for use.
type Signal struct {
	mu      sync.Mutex
	waiters map[chan struct{}]struct{}
}

// Subscribe returns a channel, which has a value when Notify has been called since the last receive, and a function that
// ends the subscription.
func (s *Signal) Subscribe() (<-chan struct{}, func()) {
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

// Notify wakes all subscribers. It never blocks.
func (s *Signal) Notify() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.waiters {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}
