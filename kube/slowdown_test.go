package kube

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"pullwatch/internal/feed"
	"pullwatch/internal/pull"
	"pullwatch/kube/pullstate/statetest"
)

var (
	away      = pull.Outcome{Reason: pull.Network, Message: "The source registry quay.io cannot be reached: connection refused", Side: pull.SourceSide}
	diskFull  = pull.Outcome{Reason: pull.DiskFull, Message: "The destination registry has no space left", Side: pull.DestinationSide}
	noCopier  = pull.Outcome{Reason: pull.CopierImage, Message: "The copier cannot start: ErrImagePull"}
	forbidden = pull.Outcome{Reason: pull.Unauthorized, Message: "The source registry quay.io does not give it", Side: pull.SourceSide}
)

// fails plays a pull that fails seconds after it has left the queue.
func (r *replica) fails(t *testing.T, id string, outcome pull.Outcome) {
	t.Helper()
	if r.job(t, id).Status.StartTime == nil {
		r.starts(t, id)
	}
	r.runPod(t, id, corev1.PodFailed, *statetest.Ended(3, outcome))
	r.finish(t, id, batchv1.JobFailureTarget, batchv1.JobReasonPodFailurePolicy) // Kubernetes says so first, and its slot is free
	time.Sleep(2 * tailTimeout)                                                  // fake time; then the leader has written on the Job how it ended
	r.finish(t, id, batchv1.JobFailed, batchv1.JobReasonPodFailurePolicy)
	r.await(t, id, phase(pull.Failed))
}

// failWithTwoBehind plays a registry that is away while three pulls may run at a time. As each of the first two fails, another pull
// starts; so five have failed when pulls are slowed down.
func (r *replica) failWithTwoBehind(t *testing.T, ids []string) {
	t.Helper()
	for i, id := range ids[:5] {
		r.fails(t, id, away)
		if i < 2 {
			r.starts(t, ids[i+3])
		}
	}
}

func (r *replica) succeeds(t *testing.T, id string) {
	t.Helper()
	r.starts(t, id)
	time.Sleep(time.Second) // fake time
	r.runPod(t, id, corev1.PodSucceeded, *statetest.Ended(0, statetest.Copied))
	r.finish(t, id, batchv1.JobComplete, "")
	r.await(t, id, phase(pull.Succeeded))
	time.Sleep(time.Second) // fake time
}

// left returns the pulls that have left the queue.
func (r *replica) left(t *testing.T, ids []string) []string {
	t.Helper()
	synctest.Wait()
	var left []string
	for _, id := range ids {
		if r.hub.Latest(id).Phase == pull.Pending {
			left = append(left, id)
		}
	}
	return left
}

func idsOf(states []*pull.State) []string {
	var ids []string
	for _, state := range states {
		ids = append(ids, state.ID)
	}
	return ids
}

func imagesOf(repository string, n int) []string {
	var images []string
	for i := range n {
		images = append(images, fmt.Sprintf("%s:%02d", repository, i)) // they are made at one moment, so they start in the order of their names
	}
	return images
}

func TestPullsFromARegistryThatIsAwayAreTriedOneAtATimeAndLessAndLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplica(t, newAPI(t), "a", 3)
		ids := idsOf(r.start(t, imagesOf("quay.io/app", 12)...))
		r.failWithTwoBehind(t, ids)
		waiting := ids[5:]
		for _, id := range waiting {
			state := r.await(t, id, says("Pulls from quay.io are slowed down"))
			if !strings.Contains(state.Message, "connection refused") || state.Phase != pull.Queued {
				t.Errorf("%s: %s", state.Phase, state.Message)
			}
		}
		for i, pause := range []time.Duration{shortestSlow, 2 * shortestSlow, 4 * shortestSlow} {
			time.Sleep(pause - 2*time.Second) // fake time
			if left := r.left(t, waiting); len(left) > 0 {
				t.Fatalf("%v have left the queue before the pause of %v was over", left, pause)
			}
			time.Sleep(time.Minute) // fake time
			if left := r.left(t, waiting); len(left) != 1 || left[0] != waiting[0] {
				t.Fatalf("after the pause of %v, %v have left the queue", pause, left)
			}
			if i < 2 {
				r.fails(t, waiting[0], away)
			} else {
				r.succeeds(t, waiting[0])
			}
			waiting = waiting[1:]
		}
		if left := r.left(t, waiting); len(left) != 3 {
			t.Errorf("after the first success, %d run at a time", len(left))
		}
		r.await(t, waiting[3], saysJust(pull.WaitsForSlot))
	})
}

func TestOnlyPullsThatWouldMeetTheSameAreSlowedDown(t *testing.T) {
	for name, c := range map[string]struct {
		failed, same, other string
		destination         string // of other
		outcome             pull.Outcome
	}{
		"a source":      {"quay.io/app", "quay.io/same", "ghcr.io/other", "harbor.example/mirror", away},
		"a destination": {"quay.io/app", "ghcr.io/same", "quay.io/other", "other.example", diskFull},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newReplica(t, newAPI(t), "a", 10)
				for _, id := range idsOf(r.start(t, imagesOf(c.failed, 3)...)) {
					r.fails(t, id, c.outcome)
				}
				same := r.start(t, imagesOf(c.same, 3)...)
				results, err := r.pulls.Start(t.Context(), pull.StartRequest{Images: imagesOf(c.other, 3), Destination: &c.destination})
				if err != nil {
					t.Fatal(err)
				}
				for _, state := range same {
					r.await(t, state.ID, says("are slowed down"))
				}
				for _, result := range results {
					r.await(t, result.Pull.ID, phase(pull.Pending))
				}
				time.Sleep(shortestSlow) // fake time
				if left := r.left(t, idsOf(same)); len(left) != 1 {
					t.Errorf("%d were started after the pause", len(left))
				}
			})
		})
	}
}

func TestAllPullsAreSlowedDownWhileTheCopierCannotRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplica(t, newAPI(t), "a", 3)
		ids := idsOf(r.start(t, imagesOf("quay.io/app", 3)...))
		for _, id := range ids {
			r.fails(t, id, noCopier)
		}
		waiting := idsOf(r.start(t, imagesOf("ghcr.io/other", 3)...))
		r.await(t, waiting[0], says("Pulls are slowed down"))
		time.Sleep(shortestSlow) // fake time
		if left := r.left(t, waiting); len(left) != 1 {
			t.Errorf("%d were started after the pause", len(left))
		}
		r.succeeds(t, waiting[0])
		if left := r.left(t, waiting); len(left) != 2 {
			t.Errorf("%d run after the success", len(left))
		}
	})
}

func TestPullsThatFailByTheirOwnFaultSlowNothingDown(t *testing.T) {
	for _, outcome := range []pull.Outcome{statetest.NotFound, forbidden} {
		synctest.Test(t, func(t *testing.T) {
			r := newReplica(t, newAPI(t), "a", 3)
			for _, id := range idsOf(r.start(t, imagesOf("quay.io/app", 6)...)) {
				r.fails(t, id, outcome)
			}
			next := idsOf(r.start(t, imagesOf("quay.io/next", 3)...))
			if left := r.left(t, next); len(left) != 3 {
				t.Errorf("after pulls that failed as %s, %d run at a time", outcome.Reason, len(left))
			}
		})
	}
}

func TestPullsThatSucceedInBetweenSlowNothingDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplica(t, newAPI(t), "a", 1)
		ids := idsOf(r.start(t, imagesOf("quay.io/app", 7)...))
		began := time.Now()
		for i, id := range ids {
			if i%3 == 2 {
				r.succeeds(t, id)
			} else {
				r.fails(t, id, away)
			}
		}
		if took := time.Since(began); took > shortestSlow {
			t.Errorf("seven pulls of some seconds took %v", took)
		}
	})
}

// The next leader knows of the failures what stands on the Jobs.
func TestAnotherLeaderGoesOnSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newAPI(t)
		before := newReplica(t, api, "a", 3)
		ids := idsOf(before.start(t, imagesOf("quay.io/app", 8)...))
		before.failWithTwoBehind(t, ids)
		waiting := ids[5:]
		message := before.await(t, waiting[2], says("are slowed down")).Message
		before.stop()
		began := time.Now()
		after := newReplica(t, api, "b", 3)
		time.Sleep(shortestSlow - 2*time.Second) // fake time
		if left := after.left(t, waiting); len(left) > 0 {
			t.Errorf("%v after the change, %v have left the queue", time.Since(began), left)
		}
		time.Sleep(5 * time.Second) // fake time
		if left := after.left(t, waiting); len(left) != 1 {
			t.Errorf("after the pause %v have left the queue", left)
		}
		if got := after.hub.Latest(waiting[2]).Message; got != message {
			t.Errorf("it says %q, and said %q", got, message)
		}
		if n := after.refuse.count("patch", "jobs/status"); n > 0 {
			t.Errorf("%d notices were written again", n)
		}
		if n := after.role.slowed.Load(); n != 1 {
			t.Errorf("the metric says %d", n)
		}
	})
}

// Whoever has mended the registry need not wait for the next try.
func TestResumingTheQueueEndsASlowdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplica(t, newAPI(t), "a", 3)
		ids := idsOf(r.start(t, imagesOf("quay.io/app", 9)...))
		r.failWithTwoBehind(t, ids)
		waiting := ids[5:]
		r.await(t, waiting[3], says("resumeQueue ends that at once"))
		time.Sleep(time.Second) // fake time
		r.resumeQueue(t)
		r.await(t, waiting[0], phase(pull.Pending))
		if left := r.left(t, waiting); len(left) != 3 {
			t.Errorf("%d run at a time", len(left))
		}
		r.await(t, waiting[3], saysJust(pull.WaitsForSlot))
	})
}

func TestOldFailuresSlowNothingDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplica(t, newAPI(t), "a", 3)
		for _, id := range idsOf(r.start(t, imagesOf("quay.io/app", 3)...)) {
			r.fails(t, id, away)
		}
		time.Sleep(slowMemory) // fake time
		next := idsOf(r.start(t, imagesOf("quay.io/next", 3)...))
		if left := r.left(t, next); len(left) != 3 {
			t.Errorf("%d run at a time", len(left))
		}
	})
}

// The one that is tried keeps no other from being tried when it cannot start.
func TestAPullThatIsTriedAndCannotStartMakesRoomForAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplicaOf(t, newAPI(t), feed.New("a"))
		r.pulls.prototype.Spec.ActiveDeadlineSeconds = new(int64(3600))
		r.watch.Demand()
		r.run(t, NewLeader(r.leaderOptions("a", 3, nil)))
		for _, id := range idsOf(r.start(t, imagesOf("quay.io/app", 3)...)) {
			r.fails(t, id, noCopier)
		}
		waiting := idsOf(r.start(t, "ghcr.io/other:1", "ghcr.io/other:2"))
		r.await(t, waiting[0], says("Pulls are slowed down"))
		r.starts(t, waiting[0])
		r.warn(t, r.job(t, waiting[0]), "Job", "FailedCreate", noRoom)
		r.await(t, waiting[0], says("exceeded quota"))
		r.await(t, waiting[1], phase(pull.Pending))
		if state := r.await(t, waiting[0], phase(pull.Queued)); !says("Lets other pulls go first")(state) {
			t.Errorf("it says %q", state.Message)
		}
	})
}
