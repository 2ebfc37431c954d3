package kube

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"

	"pullwatch/internal/pull"
	"pullwatch/internal/usererr"
	"pullwatch/kube/pullstate"
)

// suspend lets a Job leave the queue, or puts it back, as anybody may who has the right to.
func (r *replica) suspend(t *testing.T, id string, suspend bool) {
	t.Helper()
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		job := r.job(t, id)
		job.Spec.Suspend = &suspend
		_, err := r.client.BatchV1().Jobs(testNamespace).Update(t.Context(), job, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAPullThatCannotBeStartedIsGivenUpAfterItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		policy := &admissionPolicy{refuse: deny("bad-")}
		r := newReplicaUnder(t, newAPI(t), policy, 1)
		r.pulls.prototype.Spec.TTLSecondsAfterFinished = new(int32(10))
		id := r.start(t, "bad:1")[0].ID
		failed := r.await(t, id, phase(pull.Failed))
		if f := failed.Failure; f.Reason != pull.Refused || !strings.Contains(f.Message, "this image is on the deny list") || failed.FinishedAt.IsZero() {
			t.Errorf("%+v", failed)
		}
		if waited := failed.FinishedAt.Sub(failed.CreatedAt); waited < time.Minute || waited > 3*time.Minute {
			t.Errorf("given up after %s, its deadline is a minute", waited)
		}
		if _, err := r.pulls.Cancel(t.Context(), id); usererr.CodeOf(err) != usererr.Conflict {
			t.Errorf("canceled: %v", err)
		}
		policy.off.Store(true)
		again, err := r.pulls.Retry(t.Context(), id)
		if err != nil || again.ID == id {
			t.Fatalf("retried: %+v, %v", again, err)
		}
		r.await(t, again.ID, phase(pull.Pending))
		time.Sleep(11 * time.Second) // fake time
		synctest.Wait()
		if names := r.jobNames(t); len(names) != 1 {
			t.Errorf("Jobs are left: %v", names)
		}
	})
}

// It was told as FAILED, so nothing is to be copied any more.
func TestTheJobOfAGivenUpPullHasNoTimeLeftShouldSomebodyResumeIt(t *testing.T) {
	for name, policy := range map[string]*admissionPolicy{
		"it is suspended by something else": {change: staysSuspended},
		"it cannot be changed until then":   {refuse: deny("nginx-")},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newReplicaUnder(t, newAPI(t), policy, 1)
				id := r.start(t, "nginx")[0].ID
				failed := r.await(t, id, phase(pull.Failed))
				policy.off.Store(true)
				r.suspend(t, id, false)
				synctest.Wait()
				if limit := *r.job(t, id).Spec.ActiveDeadlineSeconds; limit != 1 {
					t.Errorf("its copier may run for %d s", limit)
				}
				time.Sleep(10 * time.Minute) // fake time
				if state := r.hub.Latest(id); state.Phase != pull.Failed || state.Message != failed.Message {
					t.Errorf("%s: %s", state.Phase, state.Message)
				}
			})
		})
	}
}

// Each leader begins without the memory of the one before.
func TestAPullThatCannotBeStartedIsGivenUpInTimeThoughLeadersChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newAPI(t)
		began := time.Now()
		id := ""
		for _, name := range []string{"a", "b", "c", "d"} {
			r := newReplicaUnder(t, api, &admissionPolicy{refuse: deny("bad-")}, 1)
			r.pulls.prototype.Spec.ActiveDeadlineSeconds = new(int64(600))
			if id == "" {
				id = r.start(t, "bad")[0].ID
			}
			time.Sleep(4 * time.Minute) // fake time
			if state := r.hub.Latest(id); time.Since(began) < 10*time.Minute && state.Phase != pull.Queued {
				t.Errorf("under %s, after %v, it is %s", name, time.Since(began), state.Phase)
			}
			if time.Since(began) > 15*time.Minute {
				if state := r.hub.Latest(id); state.Phase != pull.Failed || state.Failure.Reason != pull.Refused || !says("Did not start in 1")(state) {
					t.Errorf("in the end it is %s: %s", state.Phase, state.Message)
				}
			}
			r.stop()
		}
	})
}

func TestAPullThatCannotBeStartedIsGivenUpInTimeThoughSlotsAreTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplicaUnder(t, newAPI(t), &admissionPolicy{refuse: deny("bad-")}, 1)
		r.pulls.prototype.Spec.ActiveDeadlineSeconds = new(int64(600))
		id := r.start(t, "bad")[0].ID
		r.await(t, id, says("deny list"))
		busy := r.start(t, "good")[0].ID
		r.await(t, busy, phase(pull.Pending))
		time.Sleep(12 * time.Minute) // fake time
		r.finish(t, busy, "Complete", "")
		time.Sleep(time.Second) // fake time
		if state := r.hub.Latest(id); state.Phase != pull.Failed {
			t.Errorf("it is %s: %s", state.Phase, state.Message)
		}
	})
}

// Something else starts the Job in the moment in which the leader gives the pull up.
func TestAPullThatLeavesTheQueueAsItIsGivenUpGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r *replica
		var raced atomic.Bool
		r = newReplicaUnder(t, newAPI(t), &admissionPolicy{refuse: deny("bad-"), see: func(job, patch string) {
			if strings.Contains(patch, "givenUp") && !raced.Swap(true) {
				r.suspend(t, job, false)
			}
		}}, 1)
		id := r.start(t, "bad")[0].ID
		r.await(t, id, phase(pull.Pending))
		time.Sleep(5 * time.Minute) // fake time
		if state := r.hub.Latest(id); !raced.Load() || state.Phase != pull.Pending {
			t.Errorf("raced: %v; it is %s: %s", raced.Load(), state.Phase, state.Message)
		}
	})
}

func TestWhatKeptAPullInTheQueueIsForgottenOnceItRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		policy := &admissionPolicy{refuse: deny("nginx-")}
		r := newReplicaUnder(t, newAPI(t), policy, 1)
		r.pulls.prototype.Spec.ActiveDeadlineSeconds = new(int64(1200))
		id := r.start(t, "nginx")[0].ID
		time.Sleep(8 * time.Minute) // fake time
		policy.off.Store(true)
		r.starts(t, id)
		time.Sleep(15 * time.Minute) // fake time
		if h := pullstate.ReadHindrance(r.job(t, id)); h != nil {
			t.Errorf("on its Job stands %+v", h)
		}
		policy.off.Store(false)
		r.suspend(t, id, true)
		time.Sleep(10 * time.Minute) // fake time
		if state := r.hub.Latest(id); state.Phase != pull.Queued {
			t.Errorf("after ten minutes in the queue it is %s: %s", state.Phase, state.Message)
		}
	})
}

// Nobody tries to start it meanwhile.
func TestTheTimeOfAPullThatCannotBeStartedBeginsAnewWhenItIsReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplicaUnder(t, newAPI(t), &admissionPolicy{refuse: deny("bad-")}, 1)
		r.pulls.prototype.Spec.ActiveDeadlineSeconds = new(int64(600))
		id := r.start(t, "bad")[0].ID
		r.await(t, id, says("deny list"))
		r.hold(t, id)
		time.Sleep(time.Hour) // fake time
		r.release(t, id)
		time.Sleep(8 * time.Minute) // fake time
		if state := r.hub.Latest(id); state.Phase != pull.Queued || !says("deny list")(state) {
			t.Errorf("%s: %s", state.Phase, state.Message)
		}
	})
}

// Roles of earlier versions do not allow to change the status of Jobs.
func TestAPullThatCannotBeStartedSaysSoWhereTheStatusOfJobsCannotBeChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplicaUnder(t, newAPI(t), &admissionPolicy{change: staysSuspended}, 1)
		r.refuse.forbid(func(verb, resource string) bool { return verb == "patch" && resource == "jobs/status" })
		id := r.start(t, "nginx")[0].ID
		r.await(t, id, says(suspendedByOther))
		if f := r.await(t, id, phase(pull.Failed)).Failure; f.Reason != pull.Refused || strings.Contains(f.Message, "tried again") {
			t.Errorf("%s: %s", f.Reason, f.Message)
		}
	})
}

func TestAJobWhoseWebhookIsAwayDoesNotKeepOthersInTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		policy := &admissionPolicy{refuse: deny("bad-"), away: true}
		r := newReplicaUnder(t, newAPI(t), policy, 1)
		started := r.start(t, "bad", "good")
		r.await(t, started[1].ID, phase(pull.Pending))
		if state := r.hub.Latest(started[0].ID); !says("Kubernetes refuses to start this Job")(state) {
			t.Errorf("it says %q", state.Message)
		}
	})
}

// As the Job controller changes each new Job.
func TestWhatKeepsAPullInTheQueueIsToldAtOnceThoughItsJobChangesMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r *replica
		changes := 0
		policy := &admissionPolicy{refuse: func(method, job string) string {
			changes++
			change := fmt.Appendf(nil, `{"metadata":{"annotations":{"test/changes":"%d"}}}`, changes)
			if _, err := r.pulls.jobs.Patch(t.Context(), job, "application/merge-patch+json", change, metav1.PatchOptions{}, "status"); err != nil {
				t.Error(err)
			}
			return denied
		}}
		r = newReplicaUnder(t, newAPI(t), policy, 1)
		id := r.start(t, "nginx")[0].ID
		time.Sleep(time.Second) // fake time
		if state := r.hub.Latest(id); !says("this image is on the deny list")(state) {
			t.Errorf("it says %q", state.Message)
		}
	})
}
