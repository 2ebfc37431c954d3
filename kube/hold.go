package kube

import (
	"context"
	"time"

	"pullwatch/internal/pull"
	"pullwatch/kube/pullstate"
)

// holdTime bounds how long a pull's last state waits for what completes it, and longestHold how long while the pods cannot
// be seen: their watch may be taken up again seconds after that of the Jobs.
const (
	holdTime    = time.Second
	longestHold = 10 * time.Second
)

// hold reports whether the last state of a pull is not to be told yet. Jobs and pods come over two watches, and a log over
// a third way: a Job can be seen to have ended before its pod is, and then neither a digest nor a reason is known. The first
// last state that is told is the only one, so it is held back for a moment to be complete, and to be written on the Job: then
// every replica tells the same.
func (t *Tracker) hold(tr *tracked, state *pull.Job, view *pullstate.View) bool {
	name := tr.job.Name
	told := tr.state != nil && tr.state.Phase.Final()
	if told || state.Phase == pull.Canceled || !state.Phase.Final() || view.Complete(t.isGone) {
		delete(t.held, name)
		return false
	}
	switch now := t.now(); {
	case tr.heldUntil.IsZero():
		tr.heldUntil, tr.heldAtMost = now.Add(holdTime), now.Add(longestHold)
		tr.heldFrom, tr.heldFromPods = pullstate.Version(tr.job), t.pods
	case t.podsUnseen != nil && t.podsUnseen() && now.Before(tr.heldAtMost):
		tr.heldUntil = now.Add(holdTime)
	}
	late := !t.now().Before(tr.heldUntil)
	t.held.put(name, tr, !late)
	return !late
}

// releaseHeld tells held states when their time is over, until ctx is done.
func (t *Tracker) releaseHeld(ctx context.Context) {
	changed, unsubscribe := t.changed.Subscribe()
	defer unsubscribe()
	timer := time.NewTimer(holdTime)
	defer timer.Stop()
	for {
		if wait, some := t.release(); some {
			timer.Reset(wait)
		} else {
			timer.Stop()
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-timer.C:
		}
	}
}

// release tells the held states whose time is over, and returns when the next one's is.
func (t *Tracker) release() (wait time.Duration, some bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	told := false
	for _, tr := range t.held {
		left := tr.heldUntil.Sub(t.now())
		if left <= 0 {
			t.update(tr)
			told = true
			continue
		}
		if !some || left < wait {
			wait, some = left, true
		}
	}
	if told {
		t.mark()
		t.changed.Notify()
	}
	return wait, some
}
