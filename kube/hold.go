package kube

import (
	"context"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"pullwatch/internal/pull"
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
func (t *Tracker) hold(tr *tracked, state *pull.Job, pods []*corev1.Pod) bool {
	name := tr.job.Name
	told := tr.state != nil && tr.state.Phase.Final()
	if told || state.Phase == pull.Canceled || !state.Phase.Final() || !t.incomplete(tr, pods) {
		delete(t.held, name)
		return false
	}
	switch now := t.now(); {
	case tr.heldUntil.IsZero():
		tr.heldUntil, tr.heldAtMost = now.Add(holdTime), now.Add(longestHold)
		tr.heldFrom, tr.heldFromPods = version(tr.job), t.pods
	case t.podsUnseen != nil && t.podsUnseen() && now.Before(tr.heldAtMost):
		tr.heldUntil = now.Add(holdTime)
	}
	late := !t.now().Before(tr.heldUntil)
	t.held.put(name, tr, !late)
	return !late
}

// incomplete reports whether more is about to be known of a Job that has ended.
func (t *Tracker) incomplete(tr *tracked, pods []*corev1.Pod) bool {
	present := false
	for _, pod := range pods {
		if t.parted[pod.UID] != nil {
			continue
		}
		present = true
		copier := copierStatus(pod)
		ended := pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded ||
			(copier != nil && copier.State.Terminated != nil)
		if !ended || t.unread[pod.UID] != nil {
			return true
		}
	}
	if present && t.unrecorded[tr.job.Name] != nil {
		return true // once it is on the Job, all replicas tell the same
	}
	status := tr.job.Status
	return len(pods) == 0 && readRecord(tr.job) == nil && (status.Failed > 0 || condition(tr.job, batchv1.JobComplete) != nil)
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
