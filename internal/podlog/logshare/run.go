package logshare

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"pullwatch/internal/podlog"
)

// enter adds a user to the run of a request. The caller calls leave. first means that the run had no users before.
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

// use adds a user to r. The new user calls leave. The caller is a user already.
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

// remove removes u from the upstreams that readers may move to.
func (r *run) remove(u *upstream) {
	if i := slices.Index(r.upstreams, u); i >= 0 {
		r.gauge(len(r.upstreams)).Dec()
		r.upstreams = slices.Delete(r.upstreams, i, i+1)
	}
}

// gauge returns the gauge that counts the n-th upstream of a run: the first one counts as shared.
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
