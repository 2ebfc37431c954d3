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
func TestALastStateWaitsForPodsThatCannotBeSeen(t *testing.T) {
	hub := feed.New("a")
	tracker := NewTracker(hub, quiet)
	now, unseen := statetest.Epoch, true
	tracker.now = func() time.Time { return now }
	tracker.podsUnseen = func() bool { return unseen }
	tracker.begin()
	tracker.settle()
	phaseAfter := func(wait time.Duration) pull.Phase {
		now = now.Add(wait)
		tracker.release()
		if job := hub.Latest(statetest.New().Job.Name); job != nil {
			return job.Phase
		}
		return ""
	}
	w := statetest.New().Pod(1, corev1.PodRunning, statetest.Running()).Condition(batchv1.JobComplete, "", "")
	tracker.observeJob(w.Job)
	for waited := time.Duration(0); waited < longestHold-holdTime; waited += holdTime {
		if got := phaseAfter(holdTime); got.Final() {
			t.Fatalf("told as %s after %s although its pods cannot be seen", got, waited+holdTime)
		}
	}
	unseen = false
	if got := phaseAfter(holdTime); got != pull.Succeeded {
		t.Errorf("%q once they could be seen for some time", got)
	}
}

func TestALastStateDoesNotWaitForEver(t *testing.T) {
	hub := feed.New("a")
	tracker := NewTracker(hub, quiet)
	now := statetest.Epoch
	tracker.now = func() time.Time { return now }
	tracker.podsUnseen = func() bool { return true }
	tracker.begin()
	tracker.settle()
	w := statetest.New().Condition(batchv1.JobComplete, "", "")
	tracker.observeJob(w.Job)
	for waited := time.Duration(0); waited <= longestHold; waited += holdTime {
		now = now.Add(holdTime)
		tracker.release()
	}
	if got := hub.Latest(w.Job.Name); got == nil || got.Phase != pull.Succeeded {
		t.Errorf("%+v", got)
	}
}
