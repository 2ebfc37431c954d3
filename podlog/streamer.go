package podlog

import (
	"context"
	"log/slog"
	"sync/atomic"

	"pullwatch/usererr"
)

// Options are what a Streamer needs.
type Options struct {
	Source  Source
	Metrics *Metrics
	// MaxStreams is how many streams may be open at a time; 0 means any number.
	MaxStreams int
	// Log is told, at debug level, what callers need not know.
	Log *slog.Logger
}

// Streamer starts streams of logs.
type Streamer struct {
	Options
	open atomic.Int64
}

// New returns a Streamer. All of o but MaxStreams must be set.
func New(o Options) *Streamer { return &Streamer{Options: o} }

// Stream checks in, waits until it is known what there is to stream, and starts. Its errors are a usererr.Error
// (BAD_INPUT, NOT_FOUND, FORBIDDEN, LIMIT_EXCEEDED, UNAVAILABLE), ctx's, or internal. The stream ends when ctx does;
// the caller calls Close in any case.
func (s *Streamer) Stream(ctx context.Context, in Input) (*Stream, error) {
	plan, err := newPlan(in)
	if err != nil {
		return nil, err
	}
	if n := s.open.Add(1); s.MaxStreams > 0 && n > int64(s.MaxStreams) {
		s.open.Add(-1)
		return nil, usererr.New(usererr.LimitExceeded, "%d streams of logs are open, as many as this server allows: close "+
			"one, or try again later", s.MaxStreams)
	}
	s.Metrics.streams.Inc()
	st := newStream(ctx, plan, s)
	select {
	case <-st.started:
	case <-st.done:
	}
	select {
	case <-st.started:
		return st, nil
	default:
		return nil, st.failure()
	}
}

// closed is called when a stream has ended.
func (s *Streamer) closed() {
	s.open.Add(-1)
	s.Metrics.streams.Dec()
}
