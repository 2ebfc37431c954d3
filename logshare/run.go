package logshare

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pullwatch/podlog"
)

// runKey names one run of one container.
type runKey struct{ namespace, pod, container, run string }

// run is what is shared of the log of one run.
type run struct {
	source *Source
	key    runKey
	// users is guarded by Source.mu.
	users int

	mu sync.Mutex
	// upstreams are those that go on. Readers move to the first that holds what they want next.
	upstreams []*upstream
	// changed, if it is not nil, is closed when anything changes that readers wait for.
	changed chan struct{}
}

// enter returns the run of a request, which the caller leaves.
func (s *Source) enter(req podlog.LogRequest) *run {
	key := runKey{namespace: req.Namespace, pod: req.Pod, container: req.Container, run: req.Run}
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.runs[key]
	if !ok {
		r = &run{source: s, key: key}
		s.runs[key] = r
	}
	r.users++
	return r
}

func (s *Source) leave(r *run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.users--
	if r.users == 0 {
		delete(s.runs, r.key)
	}
}

// read returns a reader of what req asks for, from an upstream that has it or else from a new one. It is nil when there
// are too many upstreams.
func (r *run) read(ctx context.Context, req podlog.LogRequest) *reader {
	b := newBeginning(req)
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	for _, u := range r.upstreams {
		if position, ok := u.position(b, now); ok {
			r.source.metrics.logsSaved.Inc()
			return newReader(ctx, u, b.since, position)
		}
	}
	if !r.source.budget.admit() {
		return nil
	}
	u := newUpstream(r, req)
	r.upstreams = append(r.upstreams, u)
	r.gauge(len(r.upstreams)).Inc()
	return newReader(ctx, u, b.since, 0)
}

// remove takes u away from those that may be moved to.
func (r *run) remove(u *upstream) {
	if i := slices.Index(r.upstreams, u); i >= 0 {
		r.gauge(len(r.upstreams)).Dec()
		r.upstreams = slices.Delete(r.upstreams, i, i+1)
	}
}

// gauge is what counts the n-th upstream of a run: one is shared, the others are there for want of it.
func (r *run) gauge(n int) prometheus.Gauge {
	if n == 1 {
		return r.source.metrics.shared
	}
	return r.source.metrics.private
}

// wait returns a channel that is closed at the next change.
func (r *run) wait() <-chan struct{} {
	if r.changed == nil {
		r.changed = make(chan struct{})
	}
	return r.changed
}

func (r *run) wake() {
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}
