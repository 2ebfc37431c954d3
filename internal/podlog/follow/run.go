package follow

import (
	"context"
	"errors"
	"time"

	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/cursor"
	"pullwatch/internal/usererr"
)

// readRun streams the log of one run to its end. The end of a response is the end of the log only when the run had ended
// before the request; otherwise the connection may have broken, and readRun opens the log once more. It also returns when
// correctRun has moved the progress to another run.
func (f *follower) readRun(ctx context.Context, run podlog.Run) error {
	f.queue.Activate(f.container, true)
	f.lastWaiting = ""
	r := newRunReader(f, run)
	defer r.dropRest()
	defer f.forgetLoop(time.Now())
	backoff, sawEnd := newBackoff(), false
	for {
		s, err := f.correctRun(ctx)
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
		if final && !sawEnd {
			// Forget earlier failures: the node that reports the end may just have come back.
			sawEnd = true
			backoff.reset()
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
		case final && errors.Is(err, podlog.ErrNoLog) && run.Lost:
			return r.finish(ctx, run, false, false)
		case !s.left && f.status.get().left:
			continue
		case final && err == nil && s.left && run.Running:
			return r.leave(ctx)
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
			backoff.reset()
		}
		r.breakOff(err, final)
		if err == nil && r.last.said != "" {
			if err := f.notifyWaiting(ctx, "its log cannot be read now; "+r.nodeSays()); err != nil {
				return err
			}
		}
		if err != nil {
			f.logger.DebugContext(ctx, "pod log broke off", "pod", f.container.Pod, "container", f.container.Name, "error", err)
			backoff.failures++
			if final && backoff.failures >= maxFailures {
				if r.complete {
					return r.finish(ctx, run, false, true)
				}
				if errors.Is(err, podlog.ErrNoLog) {
					return r.finish(ctx, run, false, false)
				}
				return r.giveUp(ctx, err)
			}
			if backoff.failures > 1 {
				if err := f.notifyWaiting(ctx, tryingAgain); err != nil {
					return err
				}
			}
		}
		wait := backoff.next()
		if err == nil {
			wait = max(wait, endGrace)
		}
		if err := f.status.await(ctx, wait); err != nil {
			return err
		}
		if err := f.spreadRecovery(ctx, &backoff, s.recoveries); err != nil {
			return err
		}
	}
}

// stableRun is how long a run lasts that is in no loop any more: a kubelet then restarts the container without a pause again.
const stableRun = 10 * time.Minute

// forgetLoop is called at the end of a run that was read from began on.
func (f *follower) forgetLoop(began time.Time) {
	if time.Since(began) >= stableRun {
		f.toldLoop = false
	}
}

// ownsNothing reports, when the response to a request for a run's log was empty, whether that is certainly the log of this
// run, and not of the next one. It waits until the status has had time to show the next run: ours must still be the current
// or the previous one, as in the request.
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

// awaitNews waits, when a request has found the pod gone and the watch has not shown that yet, until the status differs from
// s.
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

// finish queues the rest of the last line, and sends an ENDED notice unless the run still goes on. complete says that the log
// was read to its end.
func (r *runReader) finish(ctx context.Context, run podlog.Run, gone, complete bool) error {
	goesOn := run.Running && !r.plan.follow && !gone
	if err := r.addRest(ctx, goesOn, complete); err != nil {
		return err
	}
	r.tail = nil
	if r.phase == opened && r.last.said == "" {
		// The log may be empty.
		if err := r.notifyBegin(ctx); err != nil {
			return err
		}
	}
	if message := r.unread(goesOn, complete); message != "" {
		if err := r.notifyGap(ctx, gapUnfinished, message); err != nil {
			return err
		}
	}
	if goesOn {
		return nil
	}
	// A pod may come back.
	r.progress.Done = !gone || complete
	r.left = !r.progress.Done
	return r.notifyEnded(ctx, run, gone)
}

// unread says, for people, why lines may be missing; empty when none are. A node that has deleted the log says so even if all
// of it was read before.
func (r *runReader) unread(goesOn, complete bool) string {
	const unfinished = "its log could not be read to the end"
	said := r.last.said != ""
	switch {
	case said && !complete:
		return unfinished + "; " + r.nodeSays()
	case said && r.last.dated:
		return r.nodeSays()
	case !complete && !goesOn:
		return unfinished
	default:
		return ""
	}
}

// nodeSays tells what the node has sent in place of the log.
func (r *runReader) nodeSays() string { return "the node says: " + r.last.said }

// leave ends reading a run that goes on in a pod that is not of the target any more. The rest is the beginning of a line.
func (r *runReader) leave(ctx context.Context) error {
	r.dropRest()
	r.tail, r.left = nil, true
	return r.notify(ctx, podlog.Ended, r.plan.leftTarget())
}

// giveUp returns an error, which ends the stream, when the stream is of one pod. Otherwise the stream goes on without the
// log, after a GAP.
func (r *runReader) giveUp(ctx context.Context, cause error) error {
	const message = "its log could not be read to the end: the node does not answer"
	if r.plan.target.Pod != "" {
		return usererr.Wrap(cause, usererr.Unavailable, "container %s of pod %s: %s. Check the node, then try again",
			r.container.Name, r.container.Pod, message)
	}
	if err := r.notifyGap(ctx, gapUnfinished, message); err != nil {
		return err
	}
	r.progress.Done = true
	return r.notify(ctx, podlog.Ended, message)
}
