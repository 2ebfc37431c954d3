package kube

import (
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"pullwatch/internal/feed"
	"pullwatch/internal/pull"
	"pullwatch/kube/pullstate/statetest"
)

// After a break the watch of the Jobs may be back long before that of the pods.
func TestAPullEndsWithItsDigestThoughThePodsWatchIsLate(t *testing.T) {
	hub := feed.New("a")
	tracker := NewTracker(hub, quiet)
	now, unseen := statetest.Epoch, true
	tracker.now = func() time.Time { return now }
	tracker.podsStale = func() bool { return unseen }
	tracker.begin()
	tracker.finishSync()
	phaseAfter := func(wait time.Duration) pull.Phase {
		now = now.Add(wait)
		tracker.publishDelayed()
		if state := hub.Latest(statetest.New().Job.Name); state != nil {
			return state.Phase
		}
		return ""
	}
	w := statetest.New().Pod(1, corev1.PodRunning, statetest.Running()).Condition(batchv1.JobComplete, "", "")
	tracker.observeJob(w.Job)
	for waited := time.Duration(0); waited < maxFinalDelay-finalDelay; waited += finalDelay {
		if got := phaseAfter(finalDelay); got.Final() {
			t.Fatalf("published as %s after %s although its pods cannot be seen", got, waited+finalDelay)
		}
	}
	unseen = false
	if got := phaseAfter(finalDelay); got != pull.Succeeded {
		t.Errorf("%q once they could be seen for some time", got)
	}
}

func TestAPullEndsThoughItsPodsCannotBeSeen(t *testing.T) {
	hub := feed.New("a")
	tracker := NewTracker(hub, quiet)
	now := statetest.Epoch
	tracker.now = func() time.Time { return now }
	tracker.podsStale = func() bool { return true }
	tracker.begin()
	tracker.finishSync()
	w := statetest.New().Condition(batchv1.JobComplete, "", "")
	tracker.observeJob(w.Job)
	for waited := time.Duration(0); waited <= maxFinalDelay; waited += finalDelay {
		now = now.Add(finalDelay)
		tracker.publishDelayed()
	}
	if got := hub.Latest(w.Job.Name); got == nil || got.Phase != pull.Succeeded {
		t.Errorf("%+v", got)
	}
}
