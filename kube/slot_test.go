package kube

import (
	"testing"
	"testing/synctest"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"pullwatch/internal/feed"
	"pullwatch/internal/pull"
	"pullwatch/internal/usererr"
	"pullwatch/kube/pullstate"
	"pullwatch/kube/pullstate/statetest"
)

// The name of its Job is held, so the Job stays for some seconds. Its deletion may also be refused.
func TestACanceledPullIsSuspendedByTheWriteThatCancelsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplica(t, newAPI(t), "a", 1)
		id := r.start(t, "nginx")[0].ID
		r.await(t, id, phase(pull.Pending))
		r.runPod(t, id, corev1.PodRunning, *statetest.Running())
		r.await(t, id, phase(pull.Pulling))
		canceled, err := r.pulls.Cancel(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if want := "Canceled. Its copier was told to stop."; canceled.Message != want {
			t.Errorf("the message is %q, want %q", canceled.Message, want)
		}
		job, err := r.client.BatchV1().Jobs(testNamespace).Get(t.Context(), id, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, marked := pullstate.Canceled(job); !marked || !pullstate.Suspended(job) {
			t.Errorf("marked: %t, suspended: %t", marked, pullstate.Suspended(job))
		}
	})
}

func TestACopierThatIsStillStoppingHoldsItsSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplica(t, newAPI(t), "a", 1)
		started := r.start(t, "nginx:1", "nginx:2")
		first, next := started[0].ID, started[1].ID
		r.await(t, first, phase(pull.Pending))
		pod := r.runPod(t, first, corev1.PodRunning, *statetest.Running())
		r.await(t, first, phase(pull.Pulling))
		keep(t, r, pod)
		if _, err := r.pulls.Cancel(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second) // fake time
		synctest.Wait()
		if names := r.jobNames(t); len(names) != 1 {
			t.Fatalf("the canceled pull's Job stays: %v", names)
		}
		if state := r.hub.Latest(next); state.Phase != pull.Queued {
			t.Fatalf("another pull is %s while the copier of a canceled one runs", state.Phase)
		}
		pod, err := r.client.CoreV1().Pods(testNamespace).Get(t.Context(), pod.Name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		r.setPod(t, pod, corev1.PodFailed, *statetest.Ended(137, pull.Outcome{}))
		r.await(t, next, phase(pull.Pending))
	})
}

// As on a node that does not answer any more.
func TestACopierThatDoesNotStopHoldsItsSlotForAWhileOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplica(t, newAPI(t), "a", 1)
		started := r.start(t, "nginx:1", "nginx:2")
		first, next := started[0].ID, started[1].ID
		r.await(t, first, phase(pull.Pending))
		keep(t, r, r.runPod(t, first, corev1.PodRunning, *statetest.Running()))
		r.await(t, first, phase(pull.Pulling))
		if _, err := r.pulls.Cancel(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // fake time
		synctest.Wait()
		if state := r.hub.Latest(next); state.Phase != pull.Pending {
			t.Errorf("a minute later the next pull is %s", state.Phase)
		}
	})
}

// keep keeps a pod that is deleted, as a kubelet does until its containers have ended.
func keep(t *testing.T, r *replica, pod *corev1.Pod) {
	t.Helper()
	_, err := r.client.CoreV1().Pods(testNamespace).Patch(t.Context(), pod.Name, types.MergePatchType,
		[]byte(`{"metadata":{"finalizers":["test/keep"]}}`), metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// The leader may not have seen yet that a pull was canceled.
func TestACanceledPullIsNotStarted(t *testing.T) {
	r := newReplicaOf(t, newAPI(t), feed.New("a"))
	r.run(t, nil)
	r.watch.Demand()
	id := r.start(t, "nginx")[0].ID
	r.tracker.mu.Lock()
	before := r.tracker.pulls[id].job
	r.tracker.mu.Unlock()
	r.stop()
	patch, err := pullstate.Cancellation{Last: r.hub.Latest(id), At: time.Now()}.Patch()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.pulls.jobs.Patch(t.Context(), id, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	r.tracker.observeJob(before)
	term := newTerm(NewLeader(r.leaderOptions("a", 1, nil)), heldLease{})
	if err := term.startQueued(t.Context()); err != nil {
		t.Fatal(err)
	}
	job, err := r.pulls.jobs.Get(t.Context(), id, metav1.GetOptions{})
	if err != nil || !pullstate.Suspended(job) {
		t.Errorf("a canceled pull was started: %v", err)
	}
}

// heldLease is the Lease of a replica that leads.
type heldLease struct{}

func (heldLease) IsLeader() bool            { return true }
func (heldLease) Check(time.Duration) error { return nil }

// Somebody deletes a Job that a finalizer keeps, as auditing systems add one.
func TestADeletedJobThatAFinalizerKeepsEndsItsPullAndFreesItsSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplica(t, newAPI(t), "a", 1)
		started := r.start(t, "nginx:1", "nginx:2")
		first, next := started[0].ID, started[1].ID
		r.await(t, first, phase(pull.Pending))
		pod := r.runPod(t, first, corev1.PodRunning, *statetest.Running())
		r.await(t, first, phase(pull.Pulling))
		if _, err := r.pulls.jobs.Patch(t.Context(), first, types.MergePatchType, []byte(`{"metadata":{"finalizers":["test/audit"]}}`), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		r.deleteJob(t, first)
		synctest.Wait()
		if state := r.hub.Latest(first); state.Phase != pull.Pulling || r.hub.Latest(next).Phase != pull.Queued {
			t.Fatalf("its copier runs, and it is %s: %s", state.Phase, state.Message)
		}
		r.deletePod(t, pod)
		// The Job controller sees that.
		if _, err := r.pulls.jobs.Patch(t.Context(), first, types.MergePatchType, []byte(`{"status":{"failed":1}}`), metav1.PatchOptions{}, "status"); err != nil {
			t.Fatal(err)
		}
		if state := r.await(t, first, phase(pull.Failed)); !state.Lost() {
			t.Errorf("%+v", state.Failure)
		}
		if _, err := r.pulls.Cancel(t.Context(), first); usererr.CodeOf(err) != usererr.Conflict {
			t.Errorf("it has ended, and is canceled: %v", err)
		}
		r.await(t, next, phase(pull.Pending))
		again := r.start(t, "nginx:1")[0]
		if again.ID == first {
			t.Error("a deleted pull was joined")
		}
	})
}

// Somebody may give other Jobs the label of those of pulls.
func TestAJobThatIsNoPullTakesNoSlot(t *testing.T) {
	for name, first := range map[string]string{"its pod is known first": "pod", "it is known first": "job"} {
		t.Run(name, func(t *testing.T) {
			tracker := NewTracker(feed.New("a"), quiet)
			job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "other", UID: "other", ResourceVersion: "1"}}
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "other-1", UID: "pod", ResourceVersion: "2"}}
			statetest.OwnPod(pod, job)
			if first == "pod" {
				tracker.observePod(pod)
			}
			tracker.observeJob(job)
			tracker.observePod(pod)
			if !tracker.slotFree(1) {
				t.Error("it takes a slot")
			}
			tracker.observePodDeleted(pod)
			if len(tracker.pulls) > 0 || len(tracker.slots) > 0 {
				t.Errorf("of it is left: %v %v", tracker.pulls, tracker.slots)
			}
		})
	}
}

// The copier of a pull whose Job is gone may still be stopping.
func TestACopierWhoseJobIsGoneHoldsItsSlot(t *testing.T) {
	tracker := NewTracker(feed.New("a"), quiet)
	tracker.begin()
	job := statetest.New().Job
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "pod", UID: "pod", ResourceVersion: "200"}}
	statetest.OwnPod(pod, job)
	tracker.observeJob(job)
	tracker.observeDeleted(job)
	tracker.observePod(pod)
	if tracker.slotFree(1) {
		t.Error("its slot is free")
	}
}
