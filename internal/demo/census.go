package demo

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// census counts pulls. Any number of goroutines may use it.
type census struct {
	mu     sync.Mutex
	active map[types.UID]bool
	// added and finished count all pulls since the demo began.
	added, finished int
	changed         chan struct{}
}

func newCensus() *census { return &census{active: map[types.UID]bool{}, changed: make(chan struct{})} }

// add counts a pull that has not finished. Adding it again changes nothing.
func (c *census) add(uid types.UID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.active[uid] {
		c.active[uid] = true
		c.added++
		c.wake()
	}
}

// finish counts a pull as finished. It reports whether the pull was active until now.
func (c *census) finish(uid types.UID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.active[uid] {
		return false
	}
	delete(c.active, uid)
	c.finished++
	c.wake()
	return true
}

func (c *census) wake() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// count is a census as of one moment.
type count struct{ active, added, finished int }

// until waits until enough returns true, and returns the count. The error is ctx's.
func (c *census) until(ctx context.Context, enough func(count) bool) (count, error) {
	for {
		c.mu.Lock()
		now, changed := count{len(c.active), c.added, c.finished}, c.changed
		c.mu.Unlock()
		if enough(now) {
			return now, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return now, ctx.Err()
		}
	}
}
