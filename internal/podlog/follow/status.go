package follow

import (
	"context"
	"sync"
	"time"

	"pullwatch/internal/podlog"
)

// containerStatus is what is known of a container at one moment.
type containerStatus struct {
	podlog.Container
	// podReason is podlog.Pod.Reason.
	podReason string
	// over means that the container will not run again.
	over bool
	// gone means that its pod does not exist any more. Its log ends by itself.
	gone bool
	// left means that its pod exists, and is of the stream's target no longer. Its log is read up to that moment.
	left bool
	// recoveries is Snapshot.Recoveries.
	recoveries int
}

// departed means that the container is not of the stream any more, unless it comes back.
func (s containerStatus) departed() bool { return s.gone || s.left }

// find returns the run with that ID, and whether its log is that of the container's previous run.
func (s containerStatus) find(id string) (run podlog.Run, previous, ok bool) {
	switch {
	case s.gone:
		return podlog.Run{}, false, false
	case s.Run.ID == id:
		return s.Run, false, true
	case s.Previous.ID == id:
		return s.Previous, true, true
	default:
		return podlog.Run{}, false, false
	}
}

// hadEnded reports whether the run with that ID is known to have ended by itself, before its pod was deleted.
func (s containerStatus) hadEnded(id string) bool {
	return s.Run.ID == id && !s.Run.Running || s.Run.ID != id && s.Previous.ID == id
}

// running reports whether the run with that ID goes on.
func (s containerStatus) running(id string) bool {
	run, _, ok := s.find(id)
	return ok && run.Running && !s.over
}

// statusBox holds the latest status of a container. The watch sets it, and one follower waits for changes.
type statusBox struct {
	// changed has a value when the status has changed since the last await.
	changed chan struct{}

	mu     sync.Mutex
	status containerStatus
	// guard is that of the request that reads the run with the ID reading; nil when there is none.
	guard   *stallGuard
	reading string
}

func newStatusBox(s containerStatus) *statusBox {
	return &statusBox{changed: make(chan struct{}, 1), status: s}
}

func (b *statusBox) set(s containerStatus) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s == b.status {
		return
	}
	b.status = s
	b.tellGuard()
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

func (b *statusBox) get() containerStatus {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.status
}

// await returns when the status has changed, after timeout if that is not zero, or with ctx's error.
func (b *statusBox) await(ctx context.Context, timeout time.Duration) error {
	var expired <-chan time.Time
	if timeout > 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case <-b.changed:
		return nil
	case <-expired:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// tellGuard tells the guard what the status means for its request. mu is held.
func (b *statusBox) tellGuard() {
	switch {
	case b.guard == nil:
	case b.status.left:
		b.guard.stopFollowing()
	case !b.status.running(b.reading):
		b.guard.expectEnd()
	}
}

// watchStall tells g when the run with that ID has ended, or is not to be followed any more. The caller calls release when the request is over.
func (b *statusBox) watchStall(g *stallGuard, id string) (release func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.guard, b.reading = g, id
	b.tellGuard()
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.guard = nil
		g.stop()
	}
}
