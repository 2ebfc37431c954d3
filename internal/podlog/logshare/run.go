package logshare

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pullwatch/internal/podlog"
)

// runKey names one run of one container, and how its log is asked for. Requests that follow it do not share with those
// that are made when it has ended, which tell whether the former have brought all. Nor do those share that ask for it
// as the current and as the previous run: when a container restarts, one of the two gets the log of another run.
type runKey struct {
	namespace, pod, container, run string
	follow, previous               bool
}

// run is what is shared of the log of one run.
type run struct {
	source *Source
	key    runKey
	// users counts the readers and the upstreams. It is guarded by Source.mu, which may be locked while mu is.
	users int

	mu sync.Mutex
	// upstreams are those that go on. Readers move to the first that holds what they want next.
	upstreams []*upstream
	// kept, if it is not nil, has ended and waits for those who come a little later, until expiry.
	kept   *upstream
	expiry *time.Timer
	// changed, if it is not nil, is closed when anything changes that readers wait for.
	changed chan struct{}
}

// enter returns the run of a request, which the caller leaves, and whether it had no users before.
func (s *Source) enter(req podlog.LogRequest) (_ *run, first bool) {
	key := runKey{
		namespace: req.Namespace, pod: req.Pod, container: req.Container, run: req.Run,
		follow: req.Follow, previous: req.Previous,
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.runs[key]
	if !ok {
		r = &run{source: s, key: key}
		s.runs[key] = r
	}
	r.users++
	return r, r.users == 1
}

// use makes r have one more user, who leaves it. The caller is a user already.
func (s *Source) use(r *run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.users++
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
	if u, position := r.find(b, time.Now()); u != nil {
		r.source.metrics.logsSaved.Inc()
		return newReader(ctx, u, b.since, position)
	}
	if !r.source.memory.admit() {
		return nil
	}
	u := newUpstream(r, req)
	r.upstreams = append(r.upstreams, u)
	r.gauge(len(r.upstreams)).Inc()
	return newReader(ctx, u, b.since, 0)
}

// find returns an upstream that has what begins at b, and where; nil when none has.
func (r *run) find(b beginning, now time.Time) (_ *upstream, position int64) {
	for _, u := range r.upstreams {
		if u.request.Ended && u.silent(now) {
			// The connection may be dead, and that of another request need not be.
			continue
		}
		if position, ok := u.position(b, now); ok {
			return u, position
		}
	}
	if r.kept != nil && r.kept.confirmed {
		if position, ok := r.kept.position(b, now); ok {
			return r.kept, position
		}
	}
	return nil, 0
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
