package kube

import (
	"testing"
	"testing/synctest"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pullwatch/internal/pull"
	"pullwatch/internal/usererr"
)

const moving = "The registry is being moved."

const pausedForMoving = "The queue is paused: The registry is being moved. resumeQueue lets it go on."

func (r *replica) pauseQueue(t *testing.T, reason string) *pull.Queue {
	t.Helper()
	queue, err := r.pulls.PauseQueue(t.Context(), reason)
	if err != nil {
		t.Fatal(err)
	}
	return queue
}

func (r *replica) resumeQueue(t *testing.T) {
	t.Helper()
	if queue, err := r.pulls.ResumeQueue(t.Context()); err != nil || queue.Paused {
		t.Fatalf("%+v, %v", queue, err)
	}
}

// saysJust reports whether a state has exactly that message.
func saysJust(text string) func(*pull.State) bool {
	return func(s *pull.State) bool { return s.Message == text }
}

func TestNoPullLeavesAPausedQueueAndAllSayWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplica(t, newAPI(t), "a", 1)
		started := r.start(t, "nginx:1", "nginx:2", "nginx:3")
		first, second, third := started[0].ID, started[1].ID, started[2].ID
		r.await(t, first, phase(pull.Pending))
		if queue := r.pauseQueue(t, moving); !queue.Paused || *queue.Reason != moving || time.Since(*queue.Since) > time.Second {
			t.Errorf("%+v", queue)
		}
		r.await(t, second, saysJust(pausedForMoving))
		r.await(t, third, saysJust(pausedForMoving))
		r.finish(t, first, batchv1.JobComplete, "")
		time.Sleep(time.Hour) // fake time
		if late := r.start(t, "nginx:4")[0]; late.Message != pausedForMoving {
			t.Errorf("a pull that is started meanwhile says %q", late.Message)
		}
		if state := r.hub.Latest(second); state.Phase != pull.Queued {
			t.Errorf("it is %s: %s", state.Phase, state.Message)
		}
		r.resumeQueue(t)
		r.await(t, second, phase(pull.Pending))
		r.await(t, third, saysJust(pull.WaitsForSlot))
	})
}

// Each is told by the replica that it asks, and the leader does as the other one was told.
func TestAQueueIsPausedThroughAReplicaThatDoesNotLead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newAPI(t)
		leader := newReplica(t, api, "a", 1)
		synctest.Wait()
		other := newReplica(t, api, "b", 1)
		started := leader.start(t, "nginx:1", "nginx:2")
		leader.await(t, started[0].ID, phase(pull.Pending))
		other.pauseQueue(t, moving)
		began := time.Now()
		for _, r := range []*replica{leader, other} {
			r.await(t, started[1].ID, saysJust(pausedForMoving))
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("it takes %v", took)
		}
		leader.finish(t, started[0].ID, batchv1.JobComplete, "")
		time.Sleep(time.Minute) // fake time
		for _, r := range []*replica{leader, other} {
			if queue, err := r.pulls.Queue(t.Context()); err != nil || !queue.Paused || *queue.Reason != moving {
				t.Errorf("%+v, %v", queue, err)
			}
			if state := r.hub.Latest(started[1].ID); state.Phase != pull.Queued {
				t.Errorf("it is %s: %s", state.Phase, state.Message)
			}
		}
		if !leader.role.Leads() {
			t.Error("the leader has lost the Lease")
		}
		other.resumeQueue(t)
		leader.await(t, started[1].ID, phase(pull.Pending))
	})
}

func TestAPauseOutlivesEveryReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newAPI(t)
		before := newReplica(t, api, "a", 1)
		synctest.Wait()
		before.pauseQueue(t, moving)
		since := *before.pauseQueue(t, "Longer than we thought").Since
		id := before.start(t, "nginx")[0].ID
		before.stop()
		after := newReplica(t, api, "b", 1)
		time.Sleep(time.Minute) // fake time
		if state := after.hub.Latest(id); state.Phase != pull.Queued || state.Message != "The queue is paused: Longer than we thought. resumeQueue lets it go on." {
			t.Errorf("%s: %s", state.Phase, state.Message)
		}
		if queue, err := after.pulls.Queue(t.Context()); err != nil || !queue.Paused || !queue.Since.Equal(since) {
			t.Errorf("%+v, %v; paused since %v", queue, err, since)
		}
		after.resumeQueue(t)
		after.await(t, id, phase(pull.Pending))
	})
}

func TestAPullThatIsReleasedWhileTheQueueIsPausedWaitsForThat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplica(t, newAPI(t), "a", 1)
		synctest.Wait()
		r.pauseQueue(t, moving)
		id := r.start(t, "nginx")[0].ID
		if state := r.hold(t, id); state.Message != "Held. releasePull lets it start." {
			t.Errorf("held: %s", state.Message)
		}
		r.release(t, id)
		r.await(t, id, saysJust(pausedForMoving))
		r.hold(t, id)
		r.resumeQueue(t)
		time.Sleep(time.Minute) // fake time
		if state := r.release(t, id); state.Message == pausedForMoving {
			t.Error("released after the pause, it says that the queue is paused")
		}
		r.await(t, id, phase(pull.Pending))
	})
}

// Nobody would take the place of a pull that cannot start.
func TestNoPullMakesRoomWhileTheQueueIsPaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := leading(t, 1, time.Hour)
		stuck := r.start(t, "nginx:1")[0].ID
		r.starts(t, stuck)
		r.warn(t, r.job(t, stuck), "Job", "FailedCreate", noRoom)
		r.await(t, stuck, says("exceeded quota"))
		r.pauseQueue(t, moving)
		r.start(t, "nginx:2")
		time.Sleep(10 * time.Minute) // fake time
		if state := r.hub.Latest(stuck); state.Phase != pull.Pending {
			t.Errorf("it is %s: %s", state.Phase, state.Message)
		}
		r.resumeQueue(t)
		r.await(t, stuck, phase(pull.Queued))
	})
}

func TestAQueueIsNotPausedForWhatCannotBeShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplica(t, newAPI(t), "a", 1)
		synctest.Wait()
		if _, err := r.pulls.PauseQueue(t.Context(), "two\nlines"); usererr.CodeOf(err) != usererr.BadInput {
			t.Errorf("%v", err)
		}
		if queue, err := r.pulls.Queue(t.Context()); err != nil || queue.Paused {
			t.Errorf("%+v, %v", queue, err)
		}
	})
}

// The leader writes on a Job each time that another notice is due, and not more often.
func TestAPauseCostsOneWriteForEachQueuedPull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplica(t, newAPI(t), "a", 1)
		synctest.Wait()
		r.pauseQueue(t, moving)
		r.resumeQueue(t)
		first := r.start(t, "nginx:0")[0].ID
		r.await(t, first, phase(pull.Pending))
		var images []string
		for i := range 2 * maxNotices {
			images = append(images, "redis:"+string(rune('a'+i/26))+string(rune('a'+i%26)))
		}
		waiting := r.start(t, images...)
		before := r.refuse.count("patch", "jobs/status")
		r.pauseQueue(t, moving)
		for _, state := range waiting {
			r.await(t, state.ID, saysJust(pausedForMoving))
		}
		time.Sleep(time.Minute) // fake time
		if n := r.refuse.count("patch", "jobs/status") - before; n != len(waiting) {
			t.Errorf("%d writes for %d pulls", n, len(waiting))
		}
	})
}

// Deleting the Lease by hand, and a Lease that holds something else, must stop nothing.
func TestAnUnreadableStateOfTheQueueIsNoPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplica(t, newAPI(t), "a", 1)
		synctest.Wait()
		leases := r.client.CoordinationV1().Leases(testNamespace)
		if _, err := leases.Patch(t.Context(), leaseName, "application/merge-patch+json",
			[]byte(`{"metadata":{"annotations":{"pullwatch/queue":"no JSON"}}}`), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second) // fake time
		r.await(t, r.start(t, "nginx")[0].ID, phase(pull.Pending))
		r.pauseQueue(t, moving)
		if err := leases.Delete(t.Context(), leaseName, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second) // fake time
		if queue, err := r.pulls.Queue(t.Context()); err != nil || queue.Paused {
			t.Errorf("%+v, %v", queue, err)
		}
	})
}
