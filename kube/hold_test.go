package kube

import (
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"pullwatch/internal/feed"
	"pullwatch/internal/pull"
)

// After a break the watch of the Jobs may be back long before that of the pods.
func TestALastStateWaitsForPodsThatCannotBeSeen(t *testing.T) {
	hub := feed.New("a")
	tracker := NewTracker(hub, quiet)
	now, unseen := epoch, true
	tracker.now = func() time.Time { return now }
	tracker.podsUnseen = func() bool { return unseen }
	tracker.begin()
	tracker.settle()
	phaseAfter := func(wait time.Duration) pull.Phase {
		now = now.Add(wait)
		tracker.release()
		if job := hub.Latest(newWorld().job.Name); job != nil {
			return job.Phase
		}
		return ""
	}
	w := newWorld().pod(1, corev1.PodRunning, running()).condition(batchv1.JobComplete, "", "")
	tracker.observeJob(w.job)
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
	now := epoch
	tracker.now = func() time.Time { return now }
	tracker.podsUnseen = func() bool { return true }
	tracker.begin()
	tracker.settle()
	w := newWorld().condition(batchv1.JobComplete, "", "")
	tracker.observeJob(w.job)
	for waited := time.Duration(0); waited <= longestHold; waited += holdTime {
		now = now.Add(holdTime)
		tracker.release()
	}
	if got := hub.Latest(w.job.Name); got == nil || got.Phase != pull.Succeeded {
		t.Errorf("%+v", got)
	}
}
