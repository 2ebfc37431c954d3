package follow

import (
	"context"
	"io"
	"sync"
	"time"

	"pullwatch/internal/podlog"
)

// stallLimit is how long the response to a request for a log that has an end may stay silent before it is canceled: when a
// node dies, its connections can hang until the cluster gives the node up.
const stallLimit = 10 * time.Second

// stallGuard cancels a request for a log that hangs although the log has an end: its run has ended, or it is not followed.
// While a run is followed, silence is normal.
type stallGuard struct {
	cancel func()
	// follows means that the request follows a log.
	follows bool

	mu      sync.Mutex
	timer   *time.Timer
	ends    bool
	waiting bool
}

// newStallGuard returns a guard that is not waiting yet, of a request that follows a log or not. cancel ends the request. The
// caller calls stop when the request is over.
func newStallGuard(follows bool, cancel func()) *stallGuard {
	g := &stallGuard{cancel: cancel, follows: follows, timer: time.AfterFunc(stallLimit, cancel), ends: !follows}
	g.timer.Stop()
	return g
}

// stopFollowing cancels the request if it follows the log.
func (g *stallGuard) stopFollowing() {
	if g.follows {
		g.cancel()
	}
}

// open opens a log. The guard pauses until the log is read: the caller may first have to wait for a slow reader.
func (g *stallGuard) open(ctx context.Context, source podlog.Source, req podlog.LogRequest) (io.ReadCloser, error) {
	g.setWaiting(true)
	defer g.setWaiting(false)
	return source.OpenLog(ctx, req)
}

// expectEnd tells the guard that the log has an end.
func (g *stallGuard) expectEnd() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.ends && g.waiting {
		g.timer.Reset(stallLimit)
	}
	g.ends = true
}

// setWaiting tells the guard whether the request waits for the other side now.
func (g *stallGuard) setWaiting(waiting bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = waiting
	switch {
	case !g.ends:
	case waiting:
		g.timer.Reset(stallLimit)
	default:
		g.timer.Stop()
	}
}

func (g *stallGuard) stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ends = false
	g.timer.Stop()
}

// reader returns a reader of a log that the guard was told of.
func (g *stallGuard) reader(log io.Reader) io.Reader {
	return &guardedReader{log: log, guard: g, flush: func() error { return nil }}
}

// guardedReader reads a log under a stallGuard. Before each read, which may block for long, it calls flush.
type guardedReader struct {
	log   io.Reader
	guard *stallGuard
	flush func() error
}

func (r *guardedReader) Read(p []byte) (int, error) {
	if err := r.flush(); err != nil {
		return 0, err
	}
	r.guard.setWaiting(true)
	n, err := r.log.Read(p)
	r.guard.setWaiting(false)
	return n, err
}
