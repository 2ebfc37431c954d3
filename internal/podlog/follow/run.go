package follow

import (
	"context"
	"errors"

	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/cursor"
	"pullwatch/internal/usererr"
)

// readRun streams the log of one run to its end. The end of the file is the end of the log only when the run had ended
// before the log was opened; otherwise the connection may have broken, and the log is opened once more. readRun also
// returns when the progress has been moved to another run.
func (f *follower) readRun(ctx context.Context, run podlog.Run) error {
	f.queue.Activate(f.container, true)
	f.told = ""
	r := newRunReader(f, run)
	if f.progress.Position.IsZero() {
		if err := f.notify(ctx, podlog.Started, "log opened"); err != nil {
			return err
		}
	}
	retry, over := retry{backoff: minBackoff}, false
	for {
		s, err := f.settle(ctx)
		if err != nil || f.progress.Run != cursor.NewRunKey(run.ID) {
			return err
		}
		r.complete = r.complete && len(f.laterRuns(s)) == 0
		now, _, ok := s.find(run.ID)
		if !ok {
			return r.finish(ctx, run, s.gone, r.complete && s.hadEnded(run.ID))
		}
		run = now
		req := r.request(s)
		final := !req.Follow
		if final && !over {
			// What failed before counts no more: the node that tells of the end may have just come back.
			over = true
			retry.reset()
		}
		before := f.progress.Position
		err = r.read(ctx, req)
		if final && err == nil && req.Ended {
			err = r.checkEnd(ctx, req)
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case isUserError(err):
			return err
		case errors.Is(err, podlog.ErrGone):
			if err := r.finish(ctx, run, true, r.complete && !run.Running); err != nil || f.progress.Done || s.over {
				return err
			}
			return f.awaitNews(ctx, s)
		case final && errors.Is(err, podlog.ErrNoLog) && run.NeverStarted:
			return r.finish(ctx, run, false, true)
		case final && err == nil && !r.last.dated && f.plan.follow:
			ok, err := r.ownsNothing(ctx, req.Previous)
			switch {
			case err != nil:
				return err
			case ok:
				return r.finish(ctx, run, false, r.complete)
			default:
				continue
			}
		case final && err == nil:
			return r.finish(ctx, run, false, r.complete)
		case errors.Is(err, errOtherRun), err == nil && !f.status.get().running(run.ID):
			continue
		}
		if f.progress.Position != before {
			retry.reset()
		}
		r.breakOff(err, final)
		if err != nil {
			f.logger.DebugContext(ctx, "pod log broke off", "pod", f.container.Pod, "container", f.container.Name, "error", err)
			retry.failures++
			if final && retry.failures >= maxAttempts {
				if r.complete {
					return r.finish(ctx, run, false, true)
				}
				if errors.Is(err, podlog.ErrNoLog) {
					return r.finish(ctx, run, false, false)
				}
				return r.giveUp(ctx, err)
			}
			if retry.failures > 1 {
				if err := f.tellWaiting(ctx, tryingAgain); err != nil {
					return err
				}
			}
		}
		wait := retry.next()
		if err == nil {
			wait = max(wait, endGrace)
		}
		if err := f.status.await(ctx, wait); err != nil {
			return err
		}
		if err := f.awaitTurn(ctx, &retry, s.recoveries); err != nil {
			return err
		}
	}
}

// ownsNothing reports, when the log that was given for a run is empty, whether that is certainly its own log, and not
// that of the next one: the run must still be where it was, as the current run or as the previous one, when its status
// has had the time to follow.
func (r *runReader) ownsNothing(ctx context.Context, previous bool) (bool, error) {
	waiting, cancel := context.WithTimeout(ctx, endGrace)
	defer cancel()
	for {
		s := r.status.get()
		_, asPrevious, ok := s.find(r.id)
		r.complete = r.complete && (ok || s.gone)
		switch {
		case !ok || asPrevious != previous:
			return false, nil
		case s.over:
			return true, nil
		}
		if err := r.status.await(waiting, 0); err != nil {
			return true, ctx.Err()
		}
	}
}

// awaitNews waits until more is known of a container than that its pod is gone, which the watch has not shown yet.
func (f *follower) awaitNews(ctx context.Context, s containerStatus) error {
	f.queue.Activate(f.container, false)
	for f.plan.follow {
		now := f.status.get()
		if now.recoveries = s.recoveries; now != s {
			return nil
		}
		if err := f.status.await(ctx, 0); err != nil {
			return err
		}
	}
	return nil
}

// finish hands over what was left of the last line and tells that the run has ended, unless it still goes on. complete
// says that the log was read to its end.
func (r *runReader) finish(ctx context.Context, run podlog.Run, gone, complete bool) error {
	goesOn := run.Running && !r.plan.follow && !gone
	if err := r.addRest(ctx, goesOn, complete); err != nil {
		return err
	}
	r.tail = nil
	if goesOn {
		return nil
	}
	if !complete {
		if err := r.tellGap(ctx, gapUnfinished, "its log could not be read to the end"); err != nil {
			return err
		}
	}
	// What is gone may come back: a selector may match it again.
	r.progress.Done = !gone || complete
	return r.tellEnded(ctx, run, gone)
}

// giveUp ends the stream when the log was all that it was to deliver, and otherwise goes on without it.
func (r *runReader) giveUp(ctx context.Context, cause error) error {
	const message = "its log could not be read to the end: the node does not answer"
	if r.plan.target.Pod != "" {
		return usererr.Wrap(cause, usererr.Unavailable, "container %s of pod %s: %s. Check the node, then try again",
			r.container.Name, r.container.Pod, message)
	}
	if err := r.tellGap(ctx, gapUnfinished, message); err != nil {
		return err
	}
	r.progress.Done = true
	return r.notify(ctx, podlog.Ended, message)
}
