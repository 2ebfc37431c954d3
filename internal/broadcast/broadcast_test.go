package broadcast

import (
	"sync"
	"testing"
)

// woken reports whether there is a value in a channel of Subscribe.
func woken(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestAllSubscribersAreWokenOnceForAnyNumberOfChanges(t *testing.T) {
	var s Signal
	s.Notify() // nobody waits
	a, _ := s.Subscribe()
	b, _ := s.Subscribe()
	if woken(a) || woken(b) {
		t.Error("woken for what was before they subscribed")
	}
	for range 3 {
		s.Notify() // does not wait for those that do not receive
	}
	for name, c := range map[string]<-chan struct{}{"the first": a, "the second": b} {
		if !woken(c) || woken(c) {
			t.Errorf("%s is not woken once for three changes", name)
		}
	}
	s.Notify()
	if !woken(a) || !woken(b) {
		t.Error("not woken for a later change")
	}
}

func TestASubscriptionThatHasEndedIsNotWokenAndKeepsNothing(t *testing.T) {
	var s Signal
	stays, _ := s.Subscribe()
	ended, end := s.Subscribe()
	end()
	end()
	s.Notify()
	if woken(ended) || !woken(stays) {
		t.Error("the wrong one is woken")
	}
	if len(s.waiters) != 1 {
		t.Errorf("%d subscribers are kept; one is left", len(s.waiters))
	}
}

// A subscriber that subscribes first, looks then, and waits last misses no change.
func TestNoChangeIsMissedWhileOthersSubscribeAndLeave(t *testing.T) {
	var s Signal
	var mu sync.Mutex
	value := 0
	const last = 1000
	var goroutines sync.WaitGroup
	for range 4 {
		goroutines.Go(func() {
			changed, end := s.Subscribe()
			defer end()
			for {
				mu.Lock()
				seen := value
				mu.Unlock()
				if seen == last {
					return
				}
				<-changed
			}
		})
	}
	for range last {
		_, end := s.Subscribe()
		mu.Lock()
		value++
		mu.Unlock()
		s.Notify()
		end()
	}
	goroutines.Wait()
}
