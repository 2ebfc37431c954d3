package logshare

import (
	"context"
	"io"
	"sync"
	"time"

	"pullwatch/internal/podlog"
)

// OpenLog implements podlog.Source. It shares requests that follow a known run or are for one that has ended. For them
// Since is cut to the second, and where Tail begins in a log that grows is counted at a moment up to a second ago. A
// shared log fails with an error that may pass when its reader was too slow for it.
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

// openAlone passes a request through. It has closed called when the log is closed, or cannot be opened.
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

// privateLog is a log that one reader has for itself.
type privateLog struct {
	io.ReadCloser
	closed func()
}

func (l *privateLog) Close() error {
	l.closed()
	return l.ReadCloser.Close()
}
