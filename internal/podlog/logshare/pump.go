package logshare

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"pullwatch/internal/podlog"
)

// newUpstream makes the request. The upstream uses its run until it is closed. The caller holds run.mu.
func newUpstream(run *run, req podlog.LogRequest) *upstream {
	b := newBeginning(req)
	now := time.Now()
	u := &upstream{
		run:       run,
		request:   req,
		beginning: b,
		asked:     now,
		waiting:   now,
		done:      make(chan struct{}),
		ring:      newRing(b.before(), run.source.metrics.ringBytes),
		readers:   map[*reader]struct{}{},
		demand:    sync.Cond{L: &run.mu},
	}
	run.source.use(run)
	// An upstream outlives the one who opens it, and ends with the last of its readers.
	ctx, cancel := context.WithCancel(context.Background())
	u.cancel = cancel
	go u.pump(ctx)
	return u
}

// pump opens the log and reads it until it ends or nobody is left who reads it.
func (u *upstream) pump(ctx context.Context) {
	defer close(u.done)
	log, err := u.run.source.source.OpenLog(ctx, u.request)
	if err != nil {
		u.end(err)
		return
	}
	defer log.Close()
	u.run.mu.Lock()
	u.opened, u.waiting = time.Now(), time.Time{}
	u.run.wake()
	u.run.mu.Unlock()
	for {
		space := u.awaitDemand()
		if space == nil {
			return
		}
		n, err := log.Read(space)
		u.took(n)
		if err != nil {
			u.end(err)
			return
		}
	}
}

// awaitDemand returns where to read to, as soon as a reader is about to have read all there is; nil when there is no
// reader.
func (u *upstream) awaitDemand() []byte {
	u.run.mu.Lock()
	defer u.run.mu.Unlock()
	for len(u.readers) > 0 && u.head-u.fastest >= blockSize {
		u.demand.Wait()
	}
	for u.mustEvict(u.run.source.memory.extend) {
		u.awaitOthers()
		u.evict()
	}
	if len(u.readers) == 0 {
		return nil
	}
	if u.waiting.IsZero() {
		u.waiting = time.Now()
	}
	return u.space()
}

// An upstream waits before it evicts what readers have not read yet: up to blockPatience, and in all its life up to
// patience. Without that, many readers that share a processor would leave each other behind by chance. One that has
// stopped reading holds up the others once, for blockPatience.
const (
	blockPatience = 50 * time.Millisecond
	patience      = 2 * time.Second
)

// awaitOthers returns when no reader is in the oldest block any more, or when it has waited enough for that.
func (u *upstream) awaitOthers() {
	if u.waited >= patience || !u.lags() {
		return
	}
	began, expired := time.Now(), false
	timer := time.AfterFunc(blockPatience, func() {
		u.run.mu.Lock()
		defer u.run.mu.Unlock()
		expired = true
		u.demand.Signal()
	})
	defer timer.Stop()
	for u.lags() && !expired {
		u.demand.Wait()
	}
	u.waited += time.Since(began)
}

// lags reports whether a reader is in the oldest block.
func (u *upstream) lags() bool {
	for r := range u.readers {
		if r.position >= u.start && r.position < u.start+blockSize {
			return true
		}
	}
	return false
}

func (u *upstream) took(n int) {
	if n == 0 {
		return
	}
	u.run.mu.Lock()
	defer u.run.mu.Unlock()
	u.add(n)
	u.waiting = time.Time{}
	u.run.wake()
}

// end lets those who read know the end, and keeps those who come later away, but for what the run keeps.
func (u *upstream) end(err error) {
	u.run.mu.Lock()
	u.finish()
	u.err, u.ended = err, time.Now()
	u.run.remove(u)
	var unused *upstream
	if u.request.Ended && errors.Is(err, io.EOF) {
		unused = u.run.keep(u)
	}
	u.run.wake()
	u.run.mu.Unlock()
	if unused != nil {
		unused.close()
	}
}
