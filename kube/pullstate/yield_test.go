package pullstate_test

import (
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"pullwatch/internal/pull"
	"pullwatch/kube/pullstate"
	"pullwatch/kube/pullstate/statetest"
)

func TestAPullThatLetOthersGoFirstSaysWhyUntilItIsTriedAgain(t *testing.T) {
	w := statetest.New()
	w.Job.Status.StartTime = new(statetest.At(0))
	w.Job.Spec.ActiveDeadlineSeconds = new(int64(3600))
	write(t, w, warned("Job", "FailedCreate", noRoom, 5))
	now := statetest.Epoch.Add(3 * time.Minute)
	rec, due, giveUp := w.View(t).Yields(now)
	if rec == nil || giveUp || due.After(now) || !due.After(statetest.Epoch.Add(time.Minute)) {
		t.Fatalf("%+v from %v on, given up: %v", rec, due, giveUp)
	}
	w.Record(*rec)
	w.Job.Spec.Suspend, w.Job.Status.StartTime = new(true), nil
	s := w.State(t)
	if s.Phase != pull.Queued || !strings.HasPrefix(s.Message, "Lets other pulls go first, since it could not start, and is tried again from 12:05:00 UTC on. Its pod cannot be created: exceeded quota") {
		t.Errorf("%s %q", s.Phase, s.Message)
	}
	if at := pullstate.NotBefore(w.Job); !at.Equal(now.Add(2 * time.Minute)) {
		t.Errorf("it is tried again at %v", at)
	}
	w.Job.Spec.Suspend, w.Job.Status.StartTime = new(false), new(statetest.At(300))
	if s := w.State(t); s.Message != "Waits for its pod to be created." {
		t.Errorf("when it is tried again it says %q", s.Message)
	}
	if rec, _, _ := w.View(t).Yields(statetest.Epoch.Add(time.Hour)); rec != nil {
		t.Error("it makes room though nothing is known to keep it from starting")
	}
	write(t, w, warned("Job", "FailedCreate", noRoom, 301))
	if rec, _, giveUp := w.View(t).Yields(statetest.Epoch.Add(61 * time.Minute)); rec == nil || !giveUp {
		t.Errorf("after its deadline it is %+v, given up: %v", rec, giveUp)
	}
	w.Condition(batchv1.JobFailed, batchv1.JobReasonDeadlineExceeded, "")
	if f := w.State(t).Failure; f.Reason != pull.Quota || !strings.HasPrefix(f.Message, "Never started in 50s. Its pod cannot be created") {
		t.Errorf("%s %q", f.Reason, f.Message)
	}
}

// Such as one whose pod was evicted when the cluster had become full.
func TestAPullWhoseNextAttemptCannotStartLetsOthersGoFirst(t *testing.T) {
	failed := func() *statetest.World {
		w := statetest.New().Pod(1, corev1.PodFailed, statetest.Ended(1, statetest.Network)).Log(50, 100, 5, "Copying")
		w.Job.Status.StartTime = new(statetest.At(0))
		w.Job.Spec.ActiveDeadlineSeconds = new(int64(3600))
		w.Record(pullstate.Record{
			Pod: "pod-a", PodCreated: statetest.At(1).Time, Attempts: 1, Ran: true, Ended: true, Outcome: statetest.Network,
			Last: w.Logs["pod-a"].Last, LogTail: []string{"first"},
		})
		return w
	}
	noNode := warned("Pod", "FailedScheduling", "no node fits", 100)
	for name, c := range map[string]struct {
		world *statetest.World
		event *corev1.Event
		since int // seconds after Epoch
		again string
	}{
		"no pod": {failed(), warned("Job", "FailedCreate", noRoom, 45), 40, "Attempt 1 failed, another will start: connection reset"},
		"a pod":  {failed().Pod(90, corev1.PodPending, nil), noNode, 90, "Attempt 2 is starting: Waits for its pod to be created."},
	} {
		t.Run(name, func(t *testing.T) {
			w := c.world
			if !write(t, w, c.event) {
				t.Fatal("nothing is written on the Job")
			}
			why := w.State(t).Message
			now := statetest.Epoch.Add(5 * time.Minute)
			rec, due, giveUp := w.View(t).Yields(now)
			if rec == nil || giveUp || !due.Equal(statetest.At(c.since).Add(2*time.Minute)) {
				t.Fatalf("%+v from %v on, given up: %v", rec, due, giveUp)
			}
			w.Record(*rec)
			w.Job.Spec.Suspend, w.Job.Status.StartTime = new(true), nil
			w.Pods = w.Pods[:1] // Kubernetes deletes the others
			s := w.State(t)
			if s.Phase != pull.Queued || s.Attempts != 1 || !strings.HasPrefix(s.Message, "Lets other pulls go first, since attempt 2 could not start, and is tried again from 12:07:00 UTC on. ") ||
				!strings.Contains(why, rec.Yield.Why.Message) || !strings.HasSuffix(s.Message, rec.Yield.Why.Message) {
				t.Errorf("%s %q after %d attempts", s.Phase, s.Message, s.Attempts)
			}
			w.Job.Spec.Suspend, w.Job.Status.StartTime = new(false), new(statetest.At(420))
			if s := w.State(t); s.Phase != pull.Retrying || s.Message != c.again || s.Attempts != 1 {
				t.Errorf("when it is tried again: %s %q after %d attempts", s.Phase, s.Message, s.Attempts)
			}
			if rec, _, _ := w.View(t).Yields(statetest.Epoch.Add(time.Hour)); rec != nil {
				t.Error("it makes room though nothing is known to keep it from starting")
			}
			write(t, w, warned("Job", "FailedCreate", noRoom, 430))
			late := statetest.Epoch.Add(61 * time.Minute)
			if rec, _, giveUp = w.View(t).Yields(late); rec == nil || !giveUp {
				t.Fatalf("after its deadline: %+v, given up: %v", rec, giveUp)
			}
			w.Record(*rec).Condition(batchv1.JobFailed, batchv1.JobReasonDeadlineExceeded, "")
			if f := w.State(t).Failure; f.Reason != pull.Quota || !strings.HasPrefix(f.Message, "Did not finish in 50s. ") || !strings.HasSuffix(f.Message, "exceeded quota: team, requested: pods=1, used: pods=5, limited: pods=5") {
				t.Errorf("in the end: %s %q", f.Reason, f.Message)
			}
		})
	}
}

func TestAPullThatRunsOrHasRunKeepsItsSlot(t *testing.T) {
	late := statetest.Epoch.Add(time.Hour)
	for name, w := range map[string]*statetest.World{
		"it runs":             statetest.New().Pod(1, corev1.PodRunning, statetest.Running()).Record(pullstate.Record{Pod: "pod-a", Outcome: statetest.NotFound}),
		"it has run":          statetest.New().Record(pullstate.Record{Pod: "gone", Attempts: 1, Ran: true, Ended: true, Outcome: statetest.Network}),
		"it has copied":       statetest.New().Record(pullstate.Record{Pod: "gone", Attempts: 1, Ran: true, Ended: true, Outcome: statetest.Copied, Next: &statetest.NotFound}),
		"nothing is known":    statetest.New().Pod(1, corev1.PodPending, nil),
		"it got over it":      statetest.New().Pod(20, corev1.PodPending, nil).Record(pullstate.Record{Next: &statetest.NotFound}),
		"it is being deleted": statetest.New().Condition(batchv1.JobFailureTarget, "", "").Record(pullstate.Record{Next: &statetest.NotFound}),
	} {
		w.Job.Status.StartTime = new(statetest.At(0))
		if rec, _, _ := w.View(t).Yields(late); rec != nil {
			t.Errorf("%s: it makes room", name)
		}
	}
}

// As while the watch of pods is broken.
func TestAPullWhosePodIsReadyKeepsItsSlotThoughThePodIsKnownAsWaiting(t *testing.T) {
	w := statetest.New().Pod(1, corev1.PodPending, statetest.Waiting("ImagePullBackOff", "no such image"))
	w.Record(pullstate.Record{Pod: "pod-a", Outcome: pull.Outcome{Reason: pull.CopierImage, Message: "no such image"}})
	w.Job.Status.StartTime = new(statetest.At(0))
	late := statetest.Epoch.Add(time.Hour)
	if rec, _, _ := w.View(t).Yields(late); rec == nil {
		t.Error("it makes no room")
	}
	w.Job.Status.Ready = new(int32(1))
	if rec, _, _ := w.View(t).Yields(late); rec != nil {
		t.Error("it makes room though its Job says that the pod is ready")
	}
}

func TestHowLongTheNextAttemptCannotStartDoesNotDependOnTheNodesClock(t *testing.T) {
	ended := statetest.Ended(1, statetest.Network)
	ended.Terminated.FinishedAt = statetest.At(3600)
	w := statetest.New().Pod(1, corev1.PodFailed, ended)
	w.Job.Status.StartTime = new(statetest.At(0))
	w.Record(pullstate.Record{
		Pod: "pod-a", PodCreated: statetest.At(1).Time, Attempts: 1, Ran: true, Ended: true, Outcome: statetest.Network, Next: &statetest.NotFound,
		Time: statetest.At(50).Time,
	})
	if _, due, _ := w.View(t).Yields(statetest.Epoch.Add(time.Hour)); !due.Equal(statetest.At(170).Time) {
		t.Errorf("it makes room from %v on", due)
	}
}
