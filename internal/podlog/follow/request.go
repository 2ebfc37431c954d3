package follow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/cursor"
	"pullwatch/internal/podlog/logline"
)

// request returns a request for the whole log of the run, which has status s.
func (r *runReader) request(s containerStatus) podlog.LogRequest {
	_, asPrevious, _ := s.find(r.id)
	running := s.running(r.id)
	return podlog.LogRequest{
		Namespace: r.plan.target.Namespace,
		Pod:       r.container.Pod,
		Container: r.container.Name,
		Run:       r.id,
		Follow:    r.plan.follow && running && !s.left,
		Previous:  r.plan.previous || asPrevious,
		Ended:     !running,
	}
}

// locate sets where req opens the log: at the second of our last line if there is one, otherwise where the caller asked for.
func (r *runReader) locate(ctx context.Context, guard *stallGuard, req podlog.LogRequest) (podlog.LogRequest, error) {
	req.Since = r.since
	if r.progress.Position.IsZero() && r.tail != nil {
		if r.phase == neverOpened && !r.tail.resumed {
			req.Tail = &r.tail.lines
			return req, nil
		}
		if err := r.skipToTail(ctx, guard, req); err != nil {
			return req, err
		}
		req.Since = r.since
	}
	if second := r.progress.Position.Second(); second.After(req.Since) {
		req.Since = second
	}
	return req, nil
}

// begins returns the time of the earliest line that the caller wants; zero when there is no such bound.
func (r *runReader) begins() time.Time {
	if r.tail != nil && r.tail.lines == 0 && r.tail.begun.After(r.since) {
		return r.tail.begun
	}
	return r.since
}

// skipToTail moves the position to the line before the last r.tail.lines that the log had when the stream began. It reads the
// log to find that line: the last lines of now would be later ones.
func (r *runReader) skipToTail(ctx context.Context, guard *stallGuard, req podlog.LogRequest) error {
	if r.tail.lines == 0 {
		r.since, r.tail = r.begins(), nil
		return nil
	}
	req.Follow = false
	log, err := guard.open(ctx, r.source, req)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	defer log.Close()
	p, err := locateTail(&guardedReader{log: log, guard: guard, flush: func() error { return nil }}, *r.tail)
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	r.tail, r.progress.Position = nil, p
	return nil
}

// locateTail returns the position before the last lines that a log had when t begun; zero when it had no more.
func locateTail(log io.Reader, t tail) (cursor.Position, error) {
	// last is a ring of the positions of the last lines and of the one before them. Once it is full, next is its oldest.
	last, next := make([]cursor.Position, 0, t.lines+1), 0
	var at cursor.Position
	var stamps logline.Parser
	begun := t.begun.UnixNano()
	for lines := logline.NewReader(log); ; {
		line, _, err := lines.Next()
		if err != nil && !errors.Is(err, io.EOF) {
			return cursor.Position{}, err
		}
		nanos, message := stamps.Cut(line)
		switch {
		case err == nil && nanos == 0 && at.Nanos != 0:
			continue
		case err == nil && nanos < begun:
			at.Advance(nanos, cursor.Checksum(message))
		case len(last) < cap(last):
			return cursor.Position{}, nil
		default:
			return last[next], nil
		}
		if len(last) < cap(last) {
			last = append(last, at)
		} else {
			last[next] = at
			next = (next + 1) % len(last)
		}
	}
}
