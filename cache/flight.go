package cache

import (
	"errors"
	"sync"
	"time"
)

var errEnded = errors.New("the lists of pulls are not served any more")

// flights lets concurrent readers share one call of some work. It differs from golang.org/x/sync/singleflight: a reader does not
// join a call that may lack what it requires, and end waits for all calls.
type flights[T any] struct {
	mu      sync.Mutex
	latest  *flight[T]
	ended   bool
	running sync.WaitGroup
}

// flight is one call of the work.
type flight[T any] struct {
	required requirement
	began    time.Time
	// landed is closed when result is set.
	landed chan struct{}
	result T
}

// join returns the flight that is under way if it meets required. Otherwise it begins one, which calls work. The error is
// errEnded.
func (f *flights[T]) join(required requirement, work func(required requirement) T) (*flight[T], error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return nil, errEnded
	}
	if f.latest != nil && f.latest.required.mutations >= required.mutations {
		return f.latest, nil
	}
	flight := &flight[T]{required: required, began: time.Now(), landed: make(chan struct{})}
	f.latest = flight
	f.running.Go(func() {
		flight.result = work(required)
		f.mu.Lock()
		if f.latest == flight {
			f.latest = nil
		}
		f.mu.Unlock()
		close(flight.landed)
	})
	return flight, nil
}

// end lets no more flights begin, and waits for those under way.
func (f *flights[T]) end() {
	f.mu.Lock()
	f.ended = true
	f.mu.Unlock()
	f.running.Wait()
}
