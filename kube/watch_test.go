package kube

import (
	"fmt"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"pullwatch/internal/pull"
	"pullwatch/kube/pullstate"
	"pullwatch/kube/pullstate/statetest"
)

func TestQueueStartsTheOldestFirst(t *testing.T) {
	r := newReplica(t, newAPI(t), "a", 2)
	started := r.start(t, "nginx:1", "nginx:2", "nginx:3", "nginx:4")
	for i, state := range started[:2] {
		r.await(t, state.ID, phase(pull.Pending))
		if state := r.hub.Latest(started[i+2].ID); state.Phase != pull.Queued {
			t.Errorf("%s is %s while two run", state.ID, state.Phase)
		}
	}
	r.finish(t, started[1].ID, batchv1.JobComplete, "")
	r.await(t, started[2].ID, phase(pull.Pending))
	if state := r.hub.Latest(started[3].ID); state.Phase != pull.Queued {
		t.Errorf("the youngest is %s", state.Phase)
	}
}

func TestQueuedPullsStartAfterTheLeaderIsGone(t *testing.T) {
	api := newAPI(t)
	a := newReplica(t, api, "a", 1)
	started := a.start(t, "nginx:1", "nginx:2")
	a.await(t, started[0].ID, phase(pull.Pending))
	b := newReplica(t, api, "b", 1)
	a.stop()
	b.finish(t, started[0].ID, batchv1.JobComplete, "")
	b.await(t, started[1].ID, phase(pull.Pending))
	if !b.role.Leads() {
		t.Error("a pull was started by a replica that does not lead")
	}
}

func TestWhyItFailedSurvivesItsPod(t *testing.T) {
	api := newAPI(t)
	r := newReplica(t, api, "a", 1)
	id := r.start(t, "nginx")[0].ID
	r.await(t, id, phase(pull.Pending))
	pod := r.runPod(t, id, corev1.PodRunning, *statetest.Running())
	log := api.OpenLog("test://" + pod.Name)
	for i := range 30 {
		fmt.Fprintln(log, pull.Report{Time: statetest.Epoch, Message: fmt.Sprint("line ", i), BytesDone: int64(i), BytesTotal: new(int64(60))})
	}
	r.await(t, id, func(state *pull.State) bool { return state.Progress.BytesDone == 29 && state.Progress.Percent == 48 })
	log.Close()
	r.setPod(t, pod, corev1.PodFailed, *statetest.Ended(3, statetest.NotFound))
	r.finish(t, id, batchv1.JobFailed, "PodFailurePolicy")
	failed := r.await(t, id, phase(pull.Failed))
	check := func(who string, f *pull.Failure) {
		t.Helper()
		if f.Reason != pull.NotFound || f.Message != statetest.NotFound.Message || len(f.LogTail) != pull.MaxLogTail || f.LogTail[19] != "line 29" {
			t.Errorf("%s: %+v", who, f)
		}
	}
	check("first", failed.Failure)
	awaitRecord(t, r, id)
	if err := r.client.CoreV1().Pods(testNamespace).Delete(t.Context(), pod.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	r.stop()
	check("after a restart", newReplica(t, api, "b", 1).hub.Latest(id).Failure)
}

// awaitRecord returns when the leader has written on the Job how its attempt ended.
func awaitRecord(t *testing.T, r *replica, id string) {
	t.Helper()
	w, err := r.client.BatchV1().Jobs(testNamespace).Watch(t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=" + id, ResourceVersion: "0"})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	for event := range w.ResultChan() {
		if job, ok := event.Object.(*batchv1.Job); ok && pullstate.ReadRecord(job) != nil && pullstate.ReadRecord(job).Ran {
			return
		}
	}
	t.Fatal("no record was written")
}

func TestAPullDeletedByHandIsLost(t *testing.T) {
	r := newReplica(t, newAPI(t), "a", 1)
	id := r.start(t, "nginx")[0].ID
	if err := r.client.BatchV1().Jobs(testNamespace).Delete(t.Context(), id, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := r.await(t, id, phase(pull.Failed)); got.Failure.Reason != pull.Lost {
		t.Errorf("%+v", got.Failure)
	}
}

func TestNoEndIsMissedWhenTheWatchBreaks(t *testing.T) {
	api := newAPI(t)
	r := newReplica(t, api, "a", 10)
	other := newReplica(t, api, "b", 10)
	started := r.start(t, "nginx:1", "nginx:2", "nginx:3")
	updates, err := r.hub.Subscribe([]string{started[0].ID, started[1].ID, started[2].ID}, pull.Position{})
	if err != nil {
		t.Fatal(err)
	}
	defer updates.Close()
	r.refuse.on.Store(true)
	r.refuse.cut()
	other.finish(t, started[0].ID, batchv1.JobComplete, "")
	other.finish(t, started[1].ID, batchv1.JobFailed, "BackoffLimitExceeded")
	if _, err := other.pulls.Cancel(t.Context(), started[2].ID); err != nil {
		t.Fatal(err)
	}
	r.refuse.on.Store(false)
	last := map[string]pull.Phase{}
	for {
		state, err := updates.Await(t.Context())
		if err != nil {
			break
		}
		last[state.ID] = state.Phase
	}
	for i, want := range []pull.Phase{pull.Succeeded, pull.Failed, pull.Canceled} {
		if got := last[started[i].ID]; got != want {
			t.Errorf("%s ended as %s, want %s", started[i].ID, got, want)
		}
	}
}

func TestTheOldestFailedPullsArePruned(t *testing.T) {
	tracker := NewTracker(&statesFeed{}, nil)
	for i := range 510 {
		w := statetest.New()
		w.Job.Name, w.Job.UID = fmt.Sprintf("pull-%d", i), types.UID(fmt.Sprint("uid-", i))
		w.Condition(batchv1.JobFailed, "BackoffLimitExceeded", "")
		w.Job.Status.Conditions[0].LastTransitionTime = statetest.At(i)
		tracker.observeJob(w.Job)
	}
	got := map[string]bool{}
	for _, job := range tracker.prunable(500) {
		got[job.Name] = true
	}
	if len(got) != 10 || !got["pull-0"] || !got["pull-9"] {
		t.Errorf("%v", got)
	}
}
