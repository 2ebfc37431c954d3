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
	// gone means that its pod does not exist any more, or not for this stream.
	gone bool
	// recoveries is Snapshot.Recoveries.
	recoveries int
}

// find returns the run of that id as it stands now, and whether it takes a request for the previous run to read it.
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

// hadEnded reports whether the run of that id is known to have ended by itself, before its pod was deleted.
func (s containerStatus) hadEnded(id string) bool {
	return s.Run.ID == id && !s.Run.Running || s.Run.ID != id && s.Previous.ID == id
}

// running reports whether the run of that id goes on.
func (s containerStatus) running(id string) bool {
	run, _, ok := s.find(id)
	return ok && run.Running && !s.over
}

// statusBox hands the latest status of a container from the stream, which sets it, to the follower, which waits for it.
type statusBox struct {
	changed chan struct{}

	mu     sync.Mutex
	status containerStatus
	// guard watches over the request that reads the run named reading.
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

// watchStall lets g know when the run of that id has ended, until the returned function is called.
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
