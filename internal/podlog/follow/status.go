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
	// over means that the container will not run again.
	over bool
	// gone means that its pod does not exist any more, or that the stream's selector does not match it.
	gone bool
	// recoveries is Snapshot.Recoveries.
	recoveries int
}

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
	if b.guard != nil && !s.running(b.reading) {
		b.guard.expectEnd()
	}
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

// watchStall tells g when the run with that ID has ended. The caller calls release when the request is over.
func (b *statusBox) watchStall(g *stallGuard, id string) (release func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.guard, b.reading = g, id
	if !b.status.running(id) {
		g.expectEnd()
	}
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.guard = nil
		g.stop()
	}
}
