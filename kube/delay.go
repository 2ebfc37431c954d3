package kube

import (
	"context"
	"time"

	"pullwatch/internal/pull"
	"pullwatch/kube/pullstate"
)

// finalDelay bounds how long a final state waits for what completes it. maxFinalDelay is the bound while the pods' watch is
// broken, which may be opened again seconds after the Jobs' watch.
const (
	finalDelay    = time.Second
	maxFinalDelay = 10 * time.Second
)

// delayLocked reports whether a state is final and must wait. Jobs, pods and pod logs arrive independently. When the Job's end
// arrives first, neither a digest nor a reason is known. A pull has only one final state, so that one waits until it is complete
// and the leader has written it on the Job. Then every replica publishes the same.
func (t *Tracker) delayLocked(tr *tracked, state *pull.State, view *pullstate.View) bool {
	name := tr.job.Name
	published := tr.state != nil && tr.state.Phase.Final()
	if published || state.Phase == pull.Canceled || !state.Phase.Final() || view.Complete(t.isGoneLocked) {
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

// runDelays publishes delayed states when their time is over, until ctx is done.
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

// publishDelayed publishes the delayed states whose time is over. It returns how long the next one has to wait, if there is
// one.
func (t *Tracker) publishDelayed() (wait time.Duration, some bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	published := false
	for _, tr := range t.delayed {
		left := tr.delayedUntil.Sub(t.now())
		if left <= 0 {
			t.updateLocked(tr)
			published = true
			continue
		}
		if !some || left < wait {
			wait, some = left, true
		}
	}
	if published {
		t.reportLocked()
		t.changed.Notify()
	}
	return wait, some
}
