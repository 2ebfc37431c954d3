package podlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"pullwatch/usererr"
)

// Opening a log again: after minBackoff, twice as long each time that brought nothing, and at most maxBackoff.
// The log of a run that has ended is given up after maxAttempts.
const (
	minBackoff  = 500 * time.Millisecond
	maxBackoff  = 30 * time.Second
	maxAttempts = 6
)

// readRun streams the log of one run to its end. The end of the file is the end of the log only when the run had ended
// before the log was opened; otherwise the connection may have broken, and the log is opened once more.
func (f *follower) readRun(ctx context.Context, run Run) error {
	if err := f.notify(ctx, Started, "log opened"); err != nil {
		return err
	}
	f.told = ""
	r := runReader{follower: f, id: run.ID}
	retry := retry{backoff: minBackoff}
	for {
		s := f.status.get()
		now, asPrevious, ok := s.find(run.ID)
		if !ok {
			return r.finish(ctx, run, s.gone)
		}
		run = now
		previous := asPrevious || f.plan.previous
		final := !f.plan.follow || previous || !s.running(run.ID)
		before := f.position
		err := r.read(ctx, !final, previous)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case isUserError(err):
			return err
		case errors.Is(err, ErrGone):
			return r.finish(ctx, run, true)
		case final && (err == nil || errors.Is(err, ErrNoLog)):
			return r.finish(ctx, run, false)
		case err == nil && !f.status.get().running(run.ID):
			continue
		}
		if f.position != before {
			retry.reset()
		}
		if err != nil {
			f.logger.DebugContext(ctx, "pod log broke off", "pod", f.pod, "container", f.name, "error", err)
			retry.failures++
			if final && retry.failures == maxAttempts {
				return f.giveUp(ctx, err)
			}
			if retry.failures > 1 {
				if err := f.tellWaiting(ctx, "its log cannot be read now; trying again"); err != nil {
					return err
				}
			}
		}
		if err := f.status.await(ctx, retry.next()); err != nil {
			return err
		}
	}
}

// giveUp ends the stream when the log was all that it was to deliver, and otherwise goes on without it.
func (f *follower) giveUp(ctx context.Context, cause error) error {
	const message = "its log could not be read to the end: the node does not answer"
	if f.plan.target.Pod == "" {
		return f.notify(ctx, Ended, message)
	}
	return usererr.Wrap(cause, usererr.Unavailable, "container %s of pod %s: %s. Check the node, then try again",
		f.name, f.pod, message)
}

// retry counts failures in a row and spaces out what is tried again.
type retry struct {
	failures int
	backoff  time.Duration
}

func (r *retry) reset() { *r = retry{backoff: minBackoff} }

// next returns how long to wait. It varies so that not all followers of a restarted server come back at once.
func (r *retry) next() time.Duration {
	d := r.backoff/2 + rand.N(r.backoff/2)
	r.backoff = min(2*r.backoff, maxBackoff)
	return d
}

// runReader reads the log of one run, through as many requests as it takes.
type runReader struct {
	*follower
	id        string
	firstOpen time.Time
	// rest is a line without its end that the last request stopped in. It is a line only when no other request
	// brings the whole of it.
	rest *restLine
}

type restLine struct {
	timestamp time.Time
	message   []byte
	dropped   int
}

// read opens the log once and hands over what is new in it. It returns nil when the log ended as it should.
func (r *runReader) read(ctx context.Context, follow, previous bool) error {
	logCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	guard := newStallGuard(cancel)
	defer r.status.watchStall(guard, r.id)()
	if !follow {
		guard.expectEnd()
	}

	req := r.request(follow, previous, r.firstOpen)
	if r.firstOpen.IsZero() {
		r.firstOpen = time.Now()
	}
	log, err := r.source.OpenLog(logCtx, req)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	defer log.Close()
	r.rest = nil
	if err := r.copy(ctx, log, guard); err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	return nil
}

// copy hands over the lines of an open log that have not been read before.
func (r *runReader) copy(ctx context.Context, log io.Reader, guard *stallGuard) error {
	w := r.newWriter()
	flush := func() error { return w.flush(ctx, r.position) }
	lines := newLineReader(&guardedReader{log: log, guard: guard, flush: flush})
	overlap := overlap{position: r.position}
	var timestamp time.Time
	for {
		line, dropped, err := lines.next()
		if err != nil && len(line) == 0 {
			return r.end(ctx, w, err)
		}
		stamp, message, ok := splitTimestamp(line)
		if ok {
			timestamp = stamp
		}
		if err != nil {
			if !overlap.covers(timestamp) {
				r.rest = &restLine{timestamp: timestamp, message: message, dropped: dropped}
			}
			return r.end(ctx, w, err)
		}
		if overlap.covers(timestamp) {
			continue
		}
		if w.full(len(message)) {
			if err := flush(); err != nil {
				return err
			}
		}
		r.add(w, timestamp, message, dropped)
	}
}

func (r *runReader) end(ctx context.Context, w *chunkWriter, err error) error {
	if err := w.flush(ctx, r.position); err != nil {
		return err
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// add hands one line to w and moves the position behind it.
func (r *runReader) add(w *chunkWriter, timestamp time.Time, message []byte, dropped int) {
	r.position.advance(timestamp)
	if !r.plan.since.IsZero() && !timestamp.IsZero() && timestamp.Before(r.plan.since) {
		return
	}
	line := Line{Pod: r.pod, Container: r.name, Timestamp: timestamp, TruncatedBytes: dropped}
	w.add(line, message, r.plan.passes)
}

// finish hands over what was left of the last line and tells that the run has ended, unless it still goes on.
func (r *runReader) finish(ctx context.Context, run Run, gone bool) error {
	if r.rest != nil {
		w := r.newWriter()
		r.add(w, r.rest.timestamp, r.rest.message, r.rest.dropped)
		if err := w.flush(ctx, r.position); err != nil {
			return err
		}
	}
	if run.Running && !r.plan.follow && !gone {
		return nil
	}
	return r.tellEnded(ctx, run, gone)
}

func (r *runReader) newWriter() *chunkWriter {
	return &chunkWriter{key: r.key, run: digest(r.id), send: r.send}
}

func isUserError(err error) bool {
	_, ok := errors.AsType[*usererr.Error](err)
	return ok
}
