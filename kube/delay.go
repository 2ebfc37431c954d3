package kube

import (
	"context"
	"time"

	"pullwatch/internal/pull"
	"pullwatch/kube/pullstate"
)

// finalDelay bounds how long a pull's last state waits for what completes it, and maxFinalDelay how long while the pods cannot
// be seen: their watch may be taken up again seconds after that of the Jobs.
const (
	finalDelay    = time.Second
	maxFinalDelay = 10 * time.Second
)

// hold reports whether the last state of a pull is not to be told yet. Jobs and pods come over two watches, and a log over
// a third way: a Job can be seen to have ended before its pod is, and then neither a digest nor a reason is known. The first
// last state that is told is the only one, so it is held back for a moment to be complete, and to be written on the Job: then
// every replica tells the same.
func (t *Tracker) delayLocked(tr *tracked, state *pull.Job, view *pullstate.View) bool {
	name := tr.job.Name
	told := tr.state != nil && tr.state.Phase.Final()
	if told || state.Phase == pull.Canceled || !state.Phase.Final() || view.Complete(t.isGoneLocked) {
		delete(t.delayed, name)
		return false
	}
	switch now := t.now(); {
	case tr.delayedUntil.IsZero():
		tr.delayedUntil, tr.delayLimit = now.Add(finalDelay), now.Add(maxFinalDelay)
		tr.delayedJob, tr.delayedPods = pullstate.Version(tr.job), t.pods
	case t.podsStale != nil && t.podsStale() && now.Before(tr.delayLimit):
		tr.delayedUntil = now.Add(finalDelay)
	}
	late := !t.now().Before(tr.delayedUntil)
	t.delayed.put(name, tr, !late)
	return !late
}

// runDelays tells held states when their time is over, until ctx is done.
func (t *Tracker) runDelays(ctx context.Context) {
	changed, unsubscribe := t.changed.Subscribe()
	defer unsubscribe()
	timer := time.NewTimer(finalDelay)
	defer timer.Stop()
	for {
		if wait, some := t.publishDelayed(); some {
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
func (t *Tracker) publishDelayed() (wait time.Duration, some bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	told := false
	for _, tr := range t.delayed {
		left := tr.delayedUntil.Sub(t.now())
		if left <= 0 {
			t.updateLocked(tr)
			told = true
			continue
		}
		if !some || left < wait {
			wait, some = left, true
		}
	}
	if told {
		t.markLocked()
		t.changed.Notify()
	}
	return wait, some
}
