package kube

import (
	"testing"
	"testing/synctest"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pullwatch/internal/feed"
	"pullwatch/internal/pull"
	"pullwatch/internal/usererr"
	"pullwatch/kube/pullstate/statetest"
)

// A sidecar that a service mesh has added never ends.
func TestASidecarThatNeverEndsKeepsNeitherThePullNorItsSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newAPI(t)
		a := newReplicaOf(t, api, feed.New("a"))
		a.watch.Demand()
		a.run(t, NewLeader(a.leaderOptions("a", 1, nil)))
		b := newReplicaOf(t, api, feed.New("b")) // it does not lead
		b.watch.Demand()
		b.run(t, nil)
		started := a.start(t, "nginx:1", "nginx:2")
		first := started[0].ID
		a.await(t, first, phase(pull.Pending))
		pod := a.runPod(t, first, corev1.PodRunning, *statetest.Running())
		ended := *statetest.Ended(0, statetest.Copied)
		ended.Terminated.FinishedAt = metav1.Now()
		a.setPod(t, pod, corev1.PodRunning, ended)
		began := time.Now()
		a.awaitDeadline(t, first, 1)
		if waited := time.Since(began); waited < 6*time.Second || waited > 15*time.Second {
			t.Errorf("the Job was ended after %v", waited)
		}
		time.Sleep(time.Minute) // the Job controller takes its time
		if n := a.refuse.count("patch", "jobs"); n > 4 {
			t.Errorf("the Job was written %d times", n)
		}
		a.finish(t, first, batchv1.JobFailed, batchv1.JobReasonDeadlineExceeded)
		one, other := a.await(t, first, phase(pull.Succeeded)), b.await(t, first, phase(pull.Succeeded))
		if !one.Same(other) || one.Destination.Digest == nil {
			t.Errorf("the replicas differ, or have no digest:\n%+v\n%+v", one, other)
		}
		a.await(t, started[1].ID, phase(pull.Pending))
		if _, err := a.pulls.Retry(t.Context(), first); usererr.CodeOf(err) != usererr.Conflict {
			t.Errorf("a retry of the copied pull: %v", err)
		}
	})
}

func TestAJobWhosePodCompletesIsNotEndedByTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplicaOf(t, newAPI(t), feed.New("a"))
		r.watch.Demand()
		r.run(t, NewLeader(r.leaderOptions("a", 1, nil)))
		id := r.start(t, "nginx")[0].ID
		r.await(t, id, phase(pull.Pending))
		pod := r.runPod(t, id, corev1.PodRunning, *statetest.Running())
		ended := *statetest.Ended(0, statetest.Copied)
		ended.Terminated.FinishedAt = metav1.Now()
		pod = r.setPod(t, pod, corev1.PodRunning, ended)
		time.Sleep(5 * time.Second)
		r.setPod(t, pod, corev1.PodSucceeded, ended)
		time.Sleep(time.Minute)
		if got := *r.job(t, id).Spec.ActiveDeadlineSeconds; got != 60 {
			t.Errorf("its deadline is %d s", got)
		}
	})
}

// awaitDeadline returns when the deadline of a Job is that many seconds.
func (r *replica) awaitDeadline(t *testing.T, id string, seconds int64) {
	t.Helper()
	w, err := r.client.BatchV1().Jobs(testNamespace).Watch(t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=" + id, ResourceVersion: "0"})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	for event := range w.ResultChan() {
		if job, ok := event.Object.(*batchv1.Job); ok && *job.Spec.ActiveDeadlineSeconds == seconds {
			return
		}
	}
	t.Fatal("the deadline did not change")
}

func TestAJobOfACopiedImageIsEndedInTimeThoughTheClockOfItsNodeIsWrong(t *testing.T) {
	for _, wrong := range []time.Duration{-time.Hour, time.Hour} {
		t.Run(wrong.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := leading(t, 1, time.Hour)
				id := r.start(t, "nginx")[0].ID
				r.await(t, id, phase(pull.Pending))
				pod := r.runPod(t, id, corev1.PodRunning, *statetest.Running())
				ended := *statetest.Ended(0, statetest.Copied)
				ended.Terminated.FinishedAt = metav1.NewTime(time.Now().Add(wrong))
				r.setPod(t, pod, corev1.PodRunning, ended)
				time.Sleep(6 * time.Second) // fake time
				if limit := *r.job(t, id).Spec.ActiveDeadlineSeconds; limit == 1 {
					t.Error("it is ended at once")
				}
				time.Sleep(6 * time.Second) // fake time
				if limit := *r.job(t, id).Spec.ActiveDeadlineSeconds; limit != 1 {
					t.Errorf("its deadline is %d s", limit)
				}
			})
		})
	}
}
