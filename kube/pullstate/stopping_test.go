package pullstate_test

import (
	"encoding/json"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"pullwatch/internal/pull"
	"pullwatch/kube/pullstate"
	"pullwatch/kube/pullstate/statetest"
)

// told is how a copier ends that is told to stop.
var told = pull.Outcome{Reason: pull.Unknown, Message: "Stopped before the copy was complete"}

func disrupted(w *statetest.World, reason, message string) *statetest.World {
	status := &w.Pods[len(w.Pods)-1].Status
	status.Conditions = append(status.Conditions, corev1.PodCondition{
		Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: reason, Message: message,
	})
	return w
}

func TestWhyKubernetesStoppedACopierComesBeforeItsLastWords(t *testing.T) {
	failed := func(end *corev1.ContainerState) *statetest.World {
		return statetest.New().Condition(batchv1.JobFailed, "BackoffLimitExceeded", "").Pod(1, corev1.PodFailed, end)
	}
	evicted := func(w *statetest.World, message string) *statetest.World {
		w.Pods[0].Status.Reason, w.Pods[0].Status.Message = "Evicted", message
		return w
	}
	stopped := statetest.Ended(pull.ExitTransient, told)
	oom := statetest.Ended(137, told)
	oom.Terminated.Reason = "OOMKilled"
	for name, c := range map[string]struct {
		world   *statetest.World
		reason  pull.FailureReason
		message string
	}{
		"disk":                  {evicted(failed(stopped), "Pod ephemeral local storage usage exceeds the total limit of containers 1."), pull.DiskFull, "(Evicted) Pod ephemeral local storage usage"},
		"node's disk":           {evicted(failed(stopped), "The node had condition: [DiskPressure]. "), pull.DiskFull, "DiskPressure"},
		"node's memory":         {evicted(failed(stopped), "The node was low on resource: memory. Threshold quantity: 100Mi"), pull.OutOfMemory, "low on resource: memory"},
		"disk, at the deadline": {evicted(statetest.New().Condition(batchv1.JobFailed, "DeadlineExceeded", "").Pod(1, corev1.PodFailed, stopped), "The node had condition: [DiskPressure]. "), pull.DiskFull, "deadline of 1m0s. The last attempt: Kubernetes stopped"},
		"preempted":             {disrupted(failed(stopped), "PreemptionByScheduler", "default-scheduler: preempting to accommodate a higher priority pod"), pull.Evicted, "(PreemptionByScheduler) default-scheduler"},
		"drained":               {disrupted(failed(stopped), "EvictionByEvictionAPI", "Eviction API: evicting"), pull.Evicted, "(EvictionByEvictionAPI) Eviction API"},
		"node is gone":          {disrupted(failed(nil), "DeletionByPodGC", "PodGC: node no longer exists"), pull.Evicted, "node no longer exists"},
		"killed":                {failed(oom), pull.OutOfMemory, "ran out of memory"},
		"failed for good":       {disrupted(failed(statetest.Ended(pull.ExitPermanent, statetest.NotFound)), "EvictionByEvictionAPI", "x"), pull.NotFound, statetest.NotFound.Message},
		"failed by itself":      {failed(statetest.Ended(pull.ExitTransient, statetest.Network)), pull.Network, statetest.Network.Message},
	} {
		t.Run(name, func(t *testing.T) {
			f := c.world.State(t).Failure
			if f == nil || f.Reason != c.reason || !strings.Contains(f.Message, c.message) {
				t.Errorf("%+v, want %s %q", f, c.reason, c.message)
			}
		})
	}
	done := disrupted(statetest.New().Condition(batchv1.JobComplete, "", "").Pod(1, corev1.PodSucceeded, statetest.Ended(0, statetest.Copied)), "EvictionByEvictionAPI", "x")
	if s := done.State(t); s.Phase != pull.Succeeded || s.Destination.Digest == nil {
		t.Errorf("evicted as it was done: %+v", s)
	}
}

// Kubernetes does not count attempts that it stopped itself.
func TestAPullThatWasEvictedOftenSaysThatAnotherAttemptWillStart(t *testing.T) {
	const another, ending = "another will start: ", "Failed, ending: "
	for name, c := range map[string]struct {
		failed  int32
		noted   []types.UID
		evicted bool
		counted bool
		says    string
	}{
		"all were evicted":                       {0, nil, true, true, another},
		"the last one was evicted":               {3, nil, true, false, another},
		"one before it was evicted":              {3, nil, false, true, another},
		"all have failed, the last one is new":   {3, nil, false, false, ending},
		"all have failed, the last one is noted": {3, []types.UID{"pod-a"}, false, false, ending},
		"all have failed":                        {4, nil, false, true, ending},
	} {
		t.Run(name, func(t *testing.T) {
			w := statetest.New().Pod(1, corev1.PodFailed, statetest.Ended(1, told)).
				Record(pullstate.Record{Pod: "gone", Attempts: 4, Ran: true, Ended: true, Outcome: statetest.Network})
			w.Job.Spec.BackoffLimit, w.Job.Status.Failed = new(int32(3)), c.failed
			w.Job.Status.UncountedTerminatedPods = &batchv1.UncountedTerminatedPods{Failed: c.noted}
			if c.evicted {
				disrupted(w, "EvictionByEvictionAPI", "Eviction API: evicting")
			}
			if !c.counted {
				w.Pods[0].Finalizers = []string{batchv1.JobTrackingFinalizer}
			}
			if s := w.State(t); s.Attempts != 5 || !strings.Contains(s.Message, c.says) {
				t.Errorf("%s %q after %d attempts", s.Phase, s.Message, s.Attempts)
			}
		})
	}
}

// The kubelet forgets a copier whose container it has lost, such as one that it removed for want of room.
func TestAnAttemptCountsThoughTheKubeletHasForgottenIt(t *testing.T) {
	for name, status := range map[string]*corev1.ContainerState{
		"status unknown": statetest.StatusUnknown(), "waits": statetest.Waiting("ContainerCreating", ""),
	} {
		t.Run(name, func(t *testing.T) {
			w := statetest.New().Pod(1, corev1.PodRunning, statetest.Running()).Log(50, 100, 5, "Copying")
			before := w.State(t)
			w.Pods[0].Status = corev1.PodStatus{
				Phase: corev1.PodFailed, Reason: "Evicted", Message: "The node had condition: [DiskPressure]. ",
				ContainerStatuses: []corev1.ContainerStatus{{Name: pull.ContainerName, State: *status}},
			}
			s := w.State(t)
			const want = "Attempt 1 failed, another will start: Kubernetes stopped the copier: (Evicted) The node had condition: [DiskPressure]."
			if s.Phase != pull.Retrying || s.Message != want || s.Attempts != before.Attempts || s.Progress.Percent != before.Progress.Percent {
				t.Errorf("%s %q after %d attempts, %+v", s.Phase, s.Message, s.Attempts, s.Progress)
			}
			rec := w.View(t).Unwritten()
			if rec == nil || !rec.Ended || rec.Attempts != 1 || len(rec.LogTail) == 0 {
				t.Fatalf("%+v is written", rec)
			}
			w.Record(*rec).Condition(batchv1.JobFailed, "BackoffLimitExceeded", "")
			w.Logs = nil // as on a replica that has not read it
			if s := w.State(t); s.Attempts != 1 || s.Failure.Reason != pull.DiskFull || len(s.Failure.LogTail) == 0 {
				t.Errorf("in the end: %+v after %d attempts", s.Failure, s.Attempts)
			}
		})
	}
}

func TestEachReasonHasARemedyOfItsOwn(t *testing.T) {
	remedies := map[string]pull.FailureReason{pull.Unknown.Remedy(): pull.Unknown}
	for _, reason := range []pull.FailureReason{pull.DiskFull, pull.OutOfMemory, pull.Evicted, pull.Refused, pull.CopierImage, pull.NotFound,
		pull.Quota, pull.Volume, pull.Node, pull.OtherContainer, pull.Unschedulable, pull.Timeout, pull.Invalid, pull.Lost} {
		if other, taken := remedies[reason.Remedy()]; taken {
			t.Errorf("%s has the remedy of %s", reason, other)
		}
		remedies[reason.Remedy()] = reason
	}
}

func TestAPullThatCannotProgressSaysSo(t *testing.T) {
	runs := func() *statetest.World {
		return statetest.New().Pod(1, corev1.PodRunning, statetest.Running()).Log(10, 100, 5, "Copying")
	}
	removed := func(w *statetest.World) *statetest.World {
		w.Pods[0].DeletionTimestamp = new(statetest.At(30))
		return w
	}
	unready := func(w *statetest.World, reason string) *statetest.World {
		w.Pods[0].Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse, Reason: reason}}
		return w
	}
	late := func(w *statetest.World) *statetest.World {
		return w.Condition(batchv1.JobFailureTarget, batchv1.JobReasonDeadlineExceeded, "x")
	}
	deleted := func(w *statetest.World) *statetest.World {
		w.Job.DeletionTimestamp, w.Job.Finalizers = new(statetest.At(30)), []string{"example.com/audit"}
		return w
	}
	active := func(w *statetest.World) *statetest.World {
		w.Job.Status.Active = 1
		return w
	}
	const overdue, lost = "Failed, ending: Did not finish within its deadline of 1m0s.", "Its node node does not answer."
	for name, c := range map[string]struct {
		world   *statetest.World
		phase   pull.Phase
		message string
	}{
		"runs":                                {runs(), pull.Pulling, "Copying"},
		"container is not ready yet":          {unready(runs(), "ContainersNotReady"), pull.Pulling, "Copying"},
		"node is lost":                        {unready(runs(), ""), pull.Pulling, lost},
		"deadline has passed":                 {late(removed(runs())), pull.Pulling, overdue},
		"deadline has passed on a lost node":  {late(removed(unready(runs(), ""))), pull.Pulling, overdue + " " + lost},
		"deadline has passed, not started":    {late(removed(statetest.New().Pod(1, corev1.PodPending, statetest.Waiting("ContainerCreating", "")))), pull.Pending, overdue},
		"deadline has passed, no pod":         {late(statetest.New()), pull.Pending, overdue},
		"pod is being removed":                {removed(runs()), pull.Pulling, "Its pod is being removed."},
		"pod is evicted":                      {disrupted(removed(runs()), "EvictionByEvictionAPI", "Eviction API: evicting"), pull.Pulling, "Kubernetes stops its copier: (EvictionByEvictionAPI) Eviction API: evicting"},
		"Job is deleted while its pod copies": {active(deleted(runs())), pull.Pulling, "Its Job was deleted. When the attempt that runs has ended, no other one starts."},
		"deleted Job's pod is done":           {deleted(statetest.New().Pod(1, corev1.PodSucceeded, statetest.Ended(0, statetest.Copied))), pull.Pulling, "Copying has started."},
		"deleted Job's pod has failed":        {deleted(statetest.New().Pod(1, corev1.PodFailed, statetest.Ended(1, statetest.Network))), pull.Failed, "finalizers: example.com/audit"},
		"deleted Job's pod is gone":           {deleted(statetest.New().Record(pullstate.Record{Pod: "gone", Attempts: 1, Ran: true, Outcome: statetest.Network})), pull.Failed, "finalizers: example.com/audit"},
		"pod of a deleted Job is not known":   {active(deleted(statetest.New())), pull.Pending, "Waits for its pod"},
		"deleted in the queue": {func() *statetest.World {
			w := deleted(statetest.New())
			w.Job.Spec.Suspend = new(true)
			return w
		}(), pull.Failed, "finalizers: example.com/audit"},
		"deleted, then complete": {deleted(statetest.New()).Condition(batchv1.JobComplete, "", ""), pull.Succeeded, "Copied."},
	} {
		t.Run(name, func(t *testing.T) {
			s := c.world.State(t)
			if s.Phase != c.phase || !strings.Contains(s.Message, c.message) {
				t.Errorf("%s %q, want %s %q", s.Phase, s.Message, c.phase, c.message)
			}
			if (s.Phase == pull.Failed) != s.Lost() {
				t.Errorf("%+v", s.Failure)
			}
		})
	}
}

func TestWhoHoldsASlot(t *testing.T) {
	runs := func() *statetest.World { return statetest.New().Pod(1, corev1.PodRunning, statetest.Running()) }
	removed := func(w *statetest.World) *statetest.World {
		w.Pods[0].DeletionTimestamp = new(statetest.At(30))
		return w
	}
	job := func(w *statetest.World, change func(*batchv1.Job)) *statetest.World {
		change(w.Job)
		return w
	}
	deleted := func(job *batchv1.Job) { job.DeletionTimestamp = new(statetest.At(20)) }
	suspended := func(job *batchv1.Job) { job.Spec.Suspend = new(true) }
	for name, c := range map[string]struct {
		world *statetest.World
		held  bool
		until int // seconds after Epoch, 0 for as long as nothing changes
	}{
		"has left the queue":             {statetest.New(), true, 0},
		"waits":                          {job(statetest.New(), suspended), false, 0},
		"runs":                           {runs(), true, 0},
		"pod is on a lost node":          {removed(runs()), true, 0}, // another one starts when it is gone
		"is suspended while it runs":     {job(runs(), suspended), true, 0},
		"is suspended, its pod stops":    {job(removed(runs()), suspended), true, 60},
		"deleted, its pod runs":          {job(runs(), deleted), true, 0},
		"deleted, without a pod":         {job(statetest.New(), deleted), false, 0},
		"deadline passed on a lost node": {removed(runs()).Condition(batchv1.JobFailureTarget, "DeadlineExceeded", ""), true, 60},
		"is about to fail":               {statetest.New().Condition(batchv1.JobFailureTarget, "DeadlineExceeded", ""), true, 0},
		"foreign pod with its label runs": {job(func() *statetest.World {
			w := runs()
			w.Pods[0].OwnerReferences[0].UID = "another"
			return w
		}(), suspended), false, 0},
		"pod without an owner runs": {job(func() *statetest.World {
			w := runs()
			w.Pods[0].OwnerReferences = nil
			return w
		}(), suspended), false, 0},
		"has ended": {runs().Condition(batchv1.JobFailed, "DeadlineExceeded", ""), false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			held, until := pullstate.HoldsSlot(c.world.Job, func(yield func(*corev1.Pod) bool) {
				for _, pod := range c.world.Pods {
					if !yield(pod) {
						return
					}
				}
			})
			seconds := 0
			if !until.IsZero() {
				seconds = int(until.Sub(statetest.Epoch).Seconds())
			}
			if held != c.held || seconds != c.until {
				t.Errorf("held: %t until %d s, want %t until %d s", held, seconds, c.held, c.until)
			}
		})
	}
}

func TestACanceledPullSaysThatItsCopierWasToldToStop(t *testing.T) {
	w := statetest.New().Pod(1, corev1.PodRunning, statetest.Running())
	w.Job.Status.StartTime = new(statetest.At(1))
	last := w.State(t)
	patch, err := pullstate.Cancellation{Last: last, At: statetest.At(30).Time, Stopping: w.View(t).CopierRuns()}.Patch()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(patch, w.Job); err != nil {
		t.Fatal(err)
	}
	w.Job.Status.StartTime = nil // as the Job controller does
	if s := w.State(t); s.Phase != pull.Canceled || s.Message != "Canceled. Its copier was told to stop." || !s.StartedAt.Equal(last.StartedAt) {
		t.Errorf("%+v", s)
	}
	if !pullstate.Suspended(w.Job) {
		t.Error("it is not suspended")
	}
}
