package logshare

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"pullwatch/internal/podlog"
)

// newUpstream makes a request. The upstream uses its run until it is closed. run.mu is held.
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
	// An upstream may outlive its first reader. It ends with its last one.
	ctx, cancel := context.WithCancel(context.Background())
	u.cancel = cancel
	go u.pump(ctx)
	return u
}

// pump opens the log, and reads it until it ends or has no reader.
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
		u.received(n)
		if err != nil {
			u.end(err)
			return
		}
	}
}

// awaitDemand waits until the fastest reader is less than a block behind the head, and makes room. It returns where to put the
// next bytes, or nil when there is no reader.
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

// An upstream waits before it evicts a block that has readers: up to blockPatience, and up to patience in all its life.
// Without that, many readers that share a processor would leave each other behind by chance. A reader that has stopped
// holds up the others once, for blockPatience.
const (
	blockPatience = 50 * time.Millisecond
	patience      = 2 * time.Second
)

// awaitOthers waits, within these bounds, until no reader is in the oldest block.
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
		if r.offset >= u.start && r.offset < u.start+blockSize {
			return true
		}
	}
	return false
}

// received takes in n bytes that were read to the end of the ring.
func (u *upstream) received(n int) {
	if n == 0 {
		return
	}
	u.run.mu.Lock()
	defer u.run.mu.Unlock()
	u.add(n)
	u.waiting = time.Time{}
	u.run.wake()
}

// end notes that the log has ended or failed. Readers read on to the end. New readers can come only if the run caches u.
func (u *upstream) end(err error) {
	u.run.mu.Lock()
	u.finish()
	u.err, u.ended = err, time.Now()
	u.run.remove(u)
	var unused *upstream
	if u.request.Ended && errors.Is(err, io.EOF) {
		unused = u.run.cache(u)
	}
	u.run.wake()
	u.run.mu.Unlock()
	if unused != nil {
		unused.close()
	}
}
