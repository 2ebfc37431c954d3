package logshare

import (
	"context"
	"io"
	"sync"
	"time"

	"pullwatch/internal/podlog"
)

// OpenLog implements podlog.Source. It shares requests that follow a known run, and requests for a run that has ended. Their
// Since is cut to the second, and their Tail may be that of up to a second ago. A log that is shared fails when it is read too
// slowly; it can be opened again.
func (s *Source) OpenLog(ctx context.Context, req podlog.LogRequest) (io.ReadCloser, error) {
	if req.Run == "" || req.Follow == req.Ended || req.Follow && req.Previous {
		return s.openAlone(ctx, req, func() {})
	}
	req.Since = req.Since.Truncate(time.Second)
	run, first := s.enter(req)
	if first && isWhole(req) {
		return s.openAlone(ctx, req, func() { s.leave(run) })
	}
	r := run.read(ctx, req)
	if r == nil {
		return s.openAlone(ctx, req, func() { s.leave(run) })
	}
	if err := r.awaitOpen(); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// isWhole reports whether a request is for all of the log of a run that has ended.
func isWhole(req podlog.LogRequest) bool { return req.Ended && req.Tail == nil && req.Since.IsZero() }

// read returns a reader for req, from an upstream that holds its beginning, or else from a new one. It returns nil when there
// is no memory for another upstream.
func (r *run) read(ctx context.Context, req podlog.LogRequest) *reader {
	b := newBeginning(req)
	r.mu.Lock()
	defer r.mu.Unlock()
	if u, offset := r.find(b, time.Now()); u != nil {
		r.source.metrics.logsSaved.Inc()
		return newReader(ctx, u, b.since, offset)
	}
	if !r.source.memory.admit() {
		return nil
	}
	u := newUpstream(r, req)
	r.upstreams = append(r.upstreams, u)
	r.gauge(len(r.upstreams)).Inc()
	return newReader(ctx, u, b.since, 0)
}

// find returns an upstream that holds the beginning b, and its offset; nil when none does.
func (r *run) find(b beginning, now time.Time) (_ *upstream, offset int64) {
	for _, u := range r.upstreams {
		if u.request.Ended && u.silent(now) {
			// Its connection may be dead. That of a new request may not.
			continue
		}
		if offset, ok := u.locate(b, now); ok {
			return u, offset
		}
	}
	if r.cached != nil && r.cached.confirmed {
		if offset, ok := r.cached.locate(b, now); ok {
			return r.cached, offset
		}
	}
	return nil, 0
}

// openAlone makes a request that is not shared. It calls closed when the log is closed, or cannot be opened.
func (s *Source) openAlone(ctx context.Context, req podlog.LogRequest, closed func()) (io.ReadCloser, error) {
	s.metrics.private.Inc()
	end := sync.OnceFunc(func() {
		s.metrics.private.Dec()
		closed()
	})
	log, err := s.source.OpenLog(ctx, req)
	if err != nil {
		end()
		return nil, err
	}
	return &privateLog{ReadCloser: log, closed: end}, nil
}

// privateLog is a log that is not shared.
type privateLog struct {
	io.ReadCloser
	closed func()
}

func (l *privateLog) Close() error {
	l.closed()
	return l.ReadCloser.Close()
}
