package follow

import (
	"context"
	"errors"
	"io"
	"time"

	"pullwatch/internal/podlog"
)

// OpenLog gives logs as a kubelet does, and breaks half of them at random.
func (w *world) OpenLog(ctx context.Context, req podlog.LogRequest) (io.ReadCloser, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.outage {
		return nil, errors.New("connection refused")
	}
	var container *worldContainer
	for _, p := range w.pods {
		for _, c := range p.containers {
			if p.name == req.Pod && c.name == req.Container && !p.deleted {
				container = c
			}
		}
	}
	if container == nil {
		return nil, podlog.ErrGone
	}
	run, previous := container.readable()
	if req.Previous {
		run = previous
	}
	if run == nil {
		return nil, podlog.ErrNoLog
	}
	run.opened = true
	run.removed = run.removed || !run.running && !run.endedEarly && container.random.IntN(20) == 0
	if run.removed {
		return text(removed[:len(removed)-container.random.IntN(2)]), nil
	}
	l := &worldLog{w: w, ctx: ctx, run: run, follow: req.Follow, since: req.Since.Truncate(time.Second).UnixNano(),
		next: run.first, generation: w.generation, fault: -1}
	if req.Since.IsZero() {
		l.since = 0
	}
	if req.Tail != nil {
		l.next = max(l.next, len(run.lines)-*req.Tail)
	}
	if w.faults && container.random.IntN(2) == 0 {
		l.fault, l.faultKind = 1+container.random.IntN(1<<(4+container.random.IntN(14))), container.random.IntN(4)
	}
	return l, nil
}

// worldLog is the response to one request for the log of a run.
type worldLog struct {
	w          *world
	ctx        context.Context
	run        *worldRun
	follow     bool
	since      int64
	next       int
	rest       []byte
	generation int
	// fault is after how many bytes the connection breaks; negative for never.
	fault, faultKind int
}

var errReset = errors.New("connection reset by peer")

func (l *worldLog) Read(p []byte) (int, error) {
	for {
		l.w.mu.Lock()
		n, err, wait := l.read(p)
		changed := l.w.changed
		l.w.mu.Unlock()
		if !wait {
			return n, err
		}
		select {
		case <-changed:
		case <-l.ctx.Done():
			return 0, l.ctx.Err()
		}
	}
}

func (l *worldLog) read(p []byte) (n int, err error, wait bool) {
	if l.ctx.Err() != nil {
		return 0, l.ctx.Err(), false
	}
	if l.generation != l.w.generation {
		return 0, errReset, false
	}
	for len(l.rest) == 0 && l.next < len(l.run.lines) {
		if line := l.run.lines[l.next]; line.nanos >= l.since {
			l.rest = line.raw
		}
		l.next++
	}
	if l.fault >= 0 && len(l.rest) >= l.fault {
		p = p[:min(l.fault, len(p))]
		n = copy(p, l.rest)
		l.rest, l.fault = l.rest[n:], l.fault-n
		if n > 0 {
			return n, nil, false
		}
		switch l.faultKind {
		case 0:
			l.run.endedEarly = l.run.endedEarly || l.follow && l.run.running
			return 0, io.EOF, false
		case 1:
			return 0, errReset, false
		case 2:
			return 0, io.ErrUnexpectedEOF, false
		default: // stalls until all connections are cut, or the request is canceled
			return 0, nil, true
		}
	}
	if len(l.rest) == 0 {
		if l.follow && l.run.running {
			return 0, nil, true
		}
		return 0, io.EOF, false
	}
	n = copy(p, l.rest)
	l.rest, l.fault = l.rest[n:], l.fault-n
	return n, nil, false
}

func (l *worldLog) Close() error { return nil }
