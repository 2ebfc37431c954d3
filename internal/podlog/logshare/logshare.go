// Package logshare lets many streams of pod logs share what they ask a cluster for. It wraps a podlog.Source and is
// one: all who watch the same pods share one watch, and those who want the log of the same run of a container share one
// request for it. What each of them gets is what a request of its own would have brought.
//
// An upstream is a request for the log of a run, read into a ring of its most recent lines by a goroutine, its pump. A
// reader whose request begins within the ring reads from there. For any other, the run gets another upstream beside the
// first; its readers move to the first one as soon as the ring there holds the lines that they have come to, and an
// upstream that has lost its last reader is closed. The fastest reader of an upstream sets its pace, so that a single
// slow reader holds the cluster back as it would without sharing, and a reader that is slower than others fails once the
// ring has moved past it.
//
// All who have followed a run ask for its log again when it has ended, to learn whether they had all of it. An answer
// that they may have read before would not tell them. So they join a request that has not come to its end yet, or are
// served from what one has brought that has: not before a request that was made after that end has come to the same
// last line. That makes two requests for all of them together, or a few when the answers differ.
//
// Who reads the whole log of a run that has ended, while nobody else does, has a request for itself: that is faster by
// what a ring costs. Those who come meanwhile share another.
//
// Lines are told apart by their timestamps, which are expected to rise. Where a clock steps back, readers still get
// every line that their upstream brings. Only lines that a cluster leaves out, because they are dated before the Since
// of the request that is shared, are lost to readers that asked for earlier ones.
package logshare

import (
	"context"
	"io"
	"sync"
	"time"

	"pullwatch/internal/budget"
	"pullwatch/internal/podlog"
)

// Source shares what it asks another podlog.Source for. When all who use it have left, no request is open and nothing
// runs. Of what was read, only logs of runs that have ended are kept then, within the bounds of the memory for all logs
// and until two seconds after their ends.
type Source struct {
	source  podlog.Source
	metrics *Metrics
	memory  memory

	mu      sync.Mutex
	watches map[podlog.Target]*watch
	runs    map[runKey]*run
}

var _ podlog.Source = (*Source)(nil)

// New returns a Source that asks source. What it keeps takes up to maxMemory bytes, of which MaxMemory are enough, from
// b, of no client's share; a nil b has room for all. Who finds no memory left has a request for itself.
func New(source podlog.Source, metrics *Metrics, b *budget.Budget, maxMemory int) *Source {
	return &Source{
		source:  source,
		metrics: metrics,
		memory:  memory{account: b.Open("", 0), max: maxMemory},
		watches: map[podlog.Target]*watch{},
		runs:    map[runKey]*run{},
	}
}

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
