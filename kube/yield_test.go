package kube

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pullwatch/internal/feed"
	"pullwatch/internal/pull"
	"pullwatch/kube/pullstate/statetest"
)

// starts plays the Job controller: it notes when the Job of a pull has left the queue.
func (r *replica) starts(t *testing.T, id string) {
	t.Helper()
	r.await(t, id, phase(pull.Pending))
	job := r.job(t, id)
	job.Status.StartTime = new(metav1.Now())
	if _, err := r.client.BatchV1().Jobs(testNamespace).UpdateStatus(t.Context(), job, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// leading returns a replica that leads, whose pulls may take a long time.
func leading(t *testing.T, maxParallel int, deadline time.Duration) *replica {
	t.Helper()
	r := newReplicaOf(t, newAPI(t), feed.New("a"))
	r.pulls.prototype.Spec.ActiveDeadlineSeconds = new(int64(deadline / time.Second))
	r.watch.Demand()
	r.run(t, NewLeader(r.leaderOptions("a", maxParallel, nil)))
	return r
}

func TestAPullThatCannotStartLetsOthersGoFirstAndIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := leading(t, 1, time.Hour)
		stuck := r.start(t, "nginx:1")[0].ID
		r.starts(t, stuck)
		r.warn(t, r.job(t, stuck), "Job", "FailedCreate", noRoom)
		r.await(t, stuck, says("exceeded quota"))
		time.Sleep(10 * time.Minute)
		if state := r.hub.Latest(stuck); state.Phase != pull.Pending {
			t.Errorf("while nobody else waits it is %s: %s", state.Phase, state.Message)
		}
		next := r.start(t, "nginx:2")[0].ID
		if state := r.await(t, stuck, phase(pull.Queued)); !says("Lets other pulls go first")(state) || !says("exceeded quota")(state) {
			t.Errorf("it says %q", state.Message)
		}
		began := time.Now()
		r.starts(t, next)
		r.finish(t, next, batchv1.JobComplete, "")
		r.starts(t, stuck)
		if waited := time.Since(began); waited < time.Minute || waited > 3*time.Minute {
			t.Errorf("it is tried again after %v", waited)
		}
		r.await(t, stuck, says("Waits for its pod to be created."))
		pod := r.runPod(t, stuck, corev1.PodRunning, *statetest.Running())
		third := r.start(t, "nginx:3")[0].ID
		time.Sleep(10 * time.Minute)
		if a, b := r.hub.Latest(stuck).Phase, r.hub.Latest(third).Phase; a != pull.Pulling || b != pull.Queued {
			t.Errorf("the pull whose copier runs in %s is %s, the other one %s", pod.Name, a, b)
		}
	})
}

func TestAPullWhoseNextAttemptCannotStartLetsOthersGoFirstAndGoesOnLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := leading(t, 1, time.Hour)
		stuck := r.start(t, "nginx:1")[0].ID
		r.starts(t, stuck)
		pod := r.runPod(t, stuck, corev1.PodRunning, *statetest.Running())
		time.Sleep(10 * time.Minute) // it copies for so long
		end := statetest.Ended(1, statetest.Network)
		end.Terminated.FinishedAt = metav1.Now()
		r.setPod(t, pod, corev1.PodFailed, *end)
		r.await(t, stuck, phase(pull.Retrying))
		next := r.start(t, "nginx:2")[0].ID
		r.warn(t, r.job(t, stuck), "Job", "FailedCreate", noRoom)
		r.await(t, stuck, says("exceeded quota"))
		time.Sleep(time.Minute)
		if state := r.hub.Latest(next); state.Phase != pull.Queued {
			t.Errorf("another pull is %s at once", state.Phase)
		}
		if state := r.await(t, stuck, phase(pull.Queued)); !says("since attempt 2 could not start")(state) || state.Attempts != 1 {
			t.Errorf("it says %q after %d attempts", state.Message, state.Attempts)
		}
		r.starts(t, next)
		r.finish(t, next, batchv1.JobComplete, "")
		if state := r.await(t, stuck, phase(pull.Retrying)); state.Attempts != 1 {
			t.Errorf("%d attempts", state.Attempts)
		}
		r.runPod(t, stuck, corev1.PodRunning, *statetest.Running())
		if state := r.await(t, stuck, phase(pull.Pulling)); state.Attempts != 2 {
			t.Errorf("%d attempts", state.Attempts)
		}
	})
}

func TestOnlyAsManyMakeRoomAsOthersWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := leading(t, 3, time.Hour)
		stuck := r.start(t, "nginx:1", "nginx:2", "nginx:3")
		for _, state := range stuck {
			r.starts(t, state.ID)
			r.warn(t, r.job(t, state.ID), "Job", "FailedCreate", noRoom)
			r.await(t, state.ID, says("exceeded quota"))
		}
		next := r.start(t, "redis")[0].ID
		r.await(t, next, phase(pull.Pending))
		time.Sleep(time.Second)
		queued := 0
		for _, state := range stuck {
			if r.hub.Latest(state.ID).Phase == pull.Queued {
				queued++
			}
		}
		if queued != 1 {
			t.Errorf("%d made room for one", queued)
		}
	})
}

func TestAPullThatNeverStartsFailsAfterItsDeadlineThoughItWasQueuedInBetween(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := leading(t, 1, 8*time.Minute)
		ids := []string{r.start(t, "nginx:1")[0].ID, r.start(t, "nginx:2")[0].ID} // neither can start, so they take turns
		began := time.Now()
		gaveUp := ""
		for gaveUp == "" && time.Since(began) < time.Hour {
			for _, id := range ids {
				job := r.job(t, id)
				if !*job.Spec.Suspend && job.Status.StartTime == nil {
					r.starts(t, id)
					r.warn(t, job, "Job", "FailedCreate", noRoom)
				}
				if *job.Spec.Suspend && job.Status.StartTime != nil {
					job.Status.StartTime = nil
					if _, err := r.client.BatchV1().Jobs(testNamespace).UpdateStatus(t.Context(), job, metav1.UpdateOptions{}); err != nil {
						t.Fatal(err)
					}
				}
				if *job.Spec.ActiveDeadlineSeconds == 1 {
					gaveUp = id
				}
			}
			time.Sleep(time.Second)
		}
		if tried := time.Since(began); gaveUp == "" || tried < 8*time.Minute || tried > 20*time.Minute {
			t.Fatalf("%q was given up after %v", gaveUp, tried)
		}
		time.Sleep(time.Second)
		r.finish(t, gaveUp, batchv1.JobFailed, batchv1.JobReasonDeadlineExceeded)
		if f := r.await(t, gaveUp, phase(pull.Failed)).Failure; f.Reason != pull.Quota {
			t.Errorf("it failed as %s: %s", f.Reason, f.Message)
		}
		if n := r.refuse.count("patch", "jobs"); n > 100 {
			t.Errorf("Jobs were written %d times", n)
		}
	})
}

func TestAPullThatMayNotMakeRoomIsTriedLessAndLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var suspends atomic.Int32
		r := newReplicaUnder(t, newAPI(t), &admissionPolicy{change: func(_, patch string) string { // it keeps Jobs running
			if strings.Contains(patch, `"suspend":true`) {
				suspends.Add(1)
				return `{}`
			}
			return patch
		}}, 1)
		r.pulls.prototype.Spec.ActiveDeadlineSeconds = new(int64(3600))
		stuck := r.start(t, "nginx:1")[0].ID
		r.starts(t, stuck)
		r.warn(t, r.job(t, stuck), "Job", "FailedCreate", noRoom)
		r.await(t, stuck, says("exceeded quota"))
		r.start(t, "nginx:2")
		time.Sleep(12 * time.Minute)
		if n := suspends.Load(); n < 2 || n > 12 {
			t.Errorf("it was suspended %d times in ten minutes", n)
		}
	})
}

func TestAPullThatMakesRoomNoLongerSaysWhatKeptItInTheQueueBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		policy := &admissionPolicy{refuse: deny("nginx-")}
		r := newReplicaUnder(t, newAPI(t), policy, 1)
		r.pulls.prototype.Spec.ActiveDeadlineSeconds = new(int64(3600))
		id := r.start(t, "nginx:1")[0].ID
		r.await(t, id, says("this image is on the deny list"))
		policy.off.Store(true)
		r.starts(t, id)
		r.warn(t, r.job(t, id), "Job", "FailedCreate", noRoom)
		r.await(t, id, says("exceeded quota"))
		r.start(t, "redis")
		if state := r.await(t, id, phase(pull.Queued)); !says("Lets other pulls go first")(state) {
			t.Errorf("it says %q", state.Message)
		}
	})
}

// Its place would be free in vain.
func TestNoPullMakesRoomForOneThatCannotBeStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplicaUnder(t, newAPI(t), &admissionPolicy{refuse: deny("bad-")}, 1)
		r.pulls.prototype.Spec.ActiveDeadlineSeconds = new(int64(3600))
		bad := r.start(t, "bad")[0].ID
		r.await(t, bad, says("this image is on the deny list"))
		stuck := r.start(t, "nginx:1")[0].ID
		r.starts(t, stuck)
		r.warn(t, r.job(t, stuck), "Job", "FailedCreate", noRoom)
		time.Sleep(20 * time.Minute) // fake time
		if state := r.hub.Latest(stuck); state.Phase != pull.Pending {
			t.Errorf("it is %s: %s", state.Phase, state.Message)
		}
		r.start(t, "healthy")
		r.await(t, stuck, phase(pull.Queued))
	})
}

// Kubernetes gives a Job its whole deadline each time that it leaves the queue.
func TestAPullThatCannotStartFailsAfterItsDeadlineThoughNobodyWaitsAnyMore(t *testing.T) {
	for _, paused := range []bool{false, true} {
		t.Run(fmt.Sprint("paused: ", paused), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := leading(t, 1, 8*time.Minute)
				began := time.Now()
				started := r.start(t, "nginx:1", "nginx:2")
				stuck, next := started[0].ID, started[1].ID
				r.starts(t, stuck)
				r.warn(t, r.job(t, stuck), "Job", "FailedCreate", noRoom)
				r.await(t, stuck, phase(pull.Queued))
				r.playStuck(t, stuck)
				r.await(t, next, phase(pull.Pending))
				r.finish(t, next, batchv1.JobComplete, "")
				r.starts(t, stuck)
				r.warn(t, r.job(t, stuck), "Job", "FailedCreate", noRoom)
				if paused {
					r.pauseQueue(t, moving)
				}
				time.Sleep(8*time.Minute + 10*time.Second - time.Since(began)) // fake time
				if limit := *r.job(t, stuck).Spec.ActiveDeadlineSeconds; limit != 1 {
					t.Errorf("%v after it first left the queue, it may go on for %d s", time.Since(began), limit)
				}
			})
		})
	}
}
