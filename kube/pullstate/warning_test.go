package pullstate_test

import (
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"pullwatch/internal/pull"
	"pullwatch/kube/pullstate"
	"pullwatch/kube/pullstate/statetest"
)

func warned(kind, reason, message string, seconds int) *corev1.Event {
	return &corev1.Event{
		Type: corev1.EventTypeWarning, Reason: reason, Message: message, InvolvedObject: corev1.ObjectReference{Kind: kind},
		LastTimestamp: statetest.At(seconds),
	}
}

// write plays a leader that has read one event, about the Job or its newest pod.
func write(t *testing.T, w *statetest.World, event *corev1.Event) bool {
	t.Helper()
	rec := w.View(t).Warned(func(uid types.UID) *pullstate.Warning {
		if (event.InvolvedObject.Kind == "Job") != (uid == w.Job.UID) {
			return nil
		}
		return pullstate.ReadWarning(event)
	})
	if rec != nil {
		rec.Time = event.LastTimestamp.Time
		w.Record(*rec)
	}
	return rec != nil
}

const (
	noRoom   = `Error creating: pods "nginx-1-27-0123abcd-1-x7k2p" is forbidden: exceeded quota: team, requested: pods=1, used: pods=5, limited: pods=5`
	noSecret = `MountVolume.SetUp failed for volume "registry-logins" : secret "nope" not found`
)

func TestAPullThatCannotStartSaysWhatTheEventsSay(t *testing.T) {
	for name, c := range map[string]struct {
		event   *corev1.Event
		pod     bool
		reason  pull.FailureReason
		message string
	}{
		"quota": {warned("Job", "FailedCreate", noRoom, 5), false, pull.Quota, "Its pod cannot be created: exceeded quota: team, requested: pods=1, used: pods=5, limited: pods=5"},
		"a quota wants limits": {
			warned("Job", "FailedCreate", `Error creating: pods "a-1" is forbidden: failed quota: team: must specify limits.cpu for: copier`, 5),
			false, pull.Quota, "Its pod cannot be created: failed quota: team: must specify limits.cpu for: copier",
		},
		"LimitRange": {
			warned("Job", "FailedCreate", `Error creating: pods "a-1" is forbidden: maximum memory usage per Container is 64Mi, but limit is 128Mi`, 5),
			false, pull.Refused, "Its pod cannot be created: maximum memory usage per Container is 64Mi, but limit is 128Mi",
		},
		"Pod Security": {
			warned("Job", "FailedCreate", `Error creating: pods "a-1" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true`, 5),
			false, pull.Refused, `Its pod cannot be created: violates PodSecurity "restricted:latest": runAsNonRoot != true`,
		},
		"webhook": {
			warned("Job", "FailedCreate", `Error creating: admission webhook "pods.example" denied the request: exceeded quota: of patience`, 5),
			false, pull.Refused, `Its pod cannot be created: admission webhook "pods.example" denied the request: exceeded quota: of patience`,
		},
		"missing secret": {warned("Pod", "FailedMount", noSecret, 5), true, pull.Volume, "The copier cannot start: FailedMount: " + noSecret},
		"missing key": {
			warned("Pod", "FailedMount", `MountVolume.SetUp failed for volume "registry-logins" : references non-existent secret key: .dockerconfigjson`, 5),
			true, pull.Volume, "references non-existent secret key: .dockerconfigjson",
		},
		"network plugin": {
			warned("Pod", "FailedCreatePodSandBox", "Failed to create pod sandbox: plugin type=\"x\" failed (add): no addresses left", 5),
			true, pull.Node, "The copier cannot start: FailedCreatePodSandBox: Failed to create pod sandbox: plugin type=\"x\" failed (add): no addresses left",
		},
		"node has no room left": {
			warned("Pod", "FailedCreatePodSandBox", "Failed to create pod sandbox: mkdir /run/x: no space left on device", 5),
			true, pull.DiskFull, "FailedCreatePodSandBox: Failed to create pod sandbox: mkdir /run/x: no space left on device",
		},
		"volume of the network": {warned("Pod", "FailedAttachVolume", "no volume x", 5), true, pull.Volume, "FailedAttachVolume: no volume x"},
		"volume of a block":     {warned("Pod", "FailedMapVolume", "no device x", 5), true, pull.Volume, "FailedMapVolume: no device x"},
		"network is not ready":  {warned("Pod", "NetworkNotReady", "cni plugin not initialized", 5), true, pull.Node, "NetworkNotReady: cni plugin not initialized"},
		"device":                {warned("Pod", "FailedPrepareDynamicResources", "no device x", 5), true, pull.Node, "FailedPrepareDynamicResources: no device x"},
		"sandbox's container":   {warned("Pod", "FailedCreatePodContainer", "no cgroup", 5), true, pull.Node, "FailedCreatePodContainer: no cgroup"},
		"names":                 {warned("Pod", "FailedValidation", "duplicate pod name", 5), true, pull.Invalid, "FailedValidation: duplicate pod name"},
		"scheduler":             {warned("Pod", "FailedScheduling", "no node fits", 5), true, pull.Unschedulable, "FailedScheduling: no node fits"},
	} {
		t.Run(name, func(t *testing.T) {
			w := statetest.New()
			if c.pod {
				w.Pod(1, corev1.PodPending, nil)
			}
			if !write(t, w, c.event) {
				t.Fatal("nothing is written on the Job")
			}
			if s := w.State(t); s.Phase != pull.Pending || !strings.Contains(s.Message, c.message) {
				t.Errorf("%s %q", s.Phase, s.Message)
			}
			if write(t, w, c.event) {
				t.Error("it is written again though nothing has changed")
			}
			w.Pods = nil // the deadline deletes it
			w.Condition(batchv1.JobFailed, batchv1.JobReasonDeadlineExceeded, "")
			f := w.State(t).Failure
			if f.Reason != c.reason || !strings.HasPrefix(f.Message, "Never started within its deadline of 1m0s. ") || !strings.Contains(f.Message, c.message) {
				t.Errorf("%s %q", f.Reason, f.Message)
			}
			if f.Remedy() == pull.FailureReason("").Remedy() {
				t.Error("it has no remedy of its own")
			}
		})
	}
}

func TestWhatAPodHasGotOverIsNotTold(t *testing.T) {
	started := func(kind corev1.PodConditionType) func(*statetest.World) {
		return func(w *statetest.World) {
			w.Pods[0].Status.Conditions = []corev1.PodCondition{{Type: kind, Status: corev1.ConditionTrue}}
		}
	}
	for name, c := range map[string]struct {
		event  *corev1.Event
		pod    bool
		passes func(*statetest.World)
	}{
		"the quota has room":    {warned("Job", "FailedCreate", noRoom, 5), false, func(w *statetest.World) { w.Pod(15, corev1.PodPending, nil) }},
		"the secret exists now": {warned("Pod", "FailedMount", noSecret, 5), true, started(corev1.PodReadyToStartContainers)},
		"the copier runs": {warned("Pod", "FailedMount", noSecret, 5), true, func(w *statetest.World) {
			w.Pods = nil
			w.Pod(1, corev1.PodRunning, statetest.Running())
		}},
		"there is a node": {warned("Pod", "FailedScheduling", "no node fits", 5), true, func(w *statetest.World) { w.Pods[0].Spec.NodeName = "node" }},
	} {
		t.Run(name, func(t *testing.T) {
			w := statetest.New()
			if c.pod {
				w.Pod(1, corev1.PodPending, nil)
			}
			write(t, w, c.event)
			before := w.State(t).Message
			c.passes(w)
			if s := w.State(t); s.Message == before || strings.Contains(s.Message, "cannot") {
				t.Errorf("it still says %q", s.Message)
			}
			if write(t, w, c.event) {
				t.Error("it is written again")
			}
			w.Condition(batchv1.JobFailed, batchv1.JobReasonDeadlineExceeded, "")
			if f := w.State(t).Failure; strings.Contains(f.Message, "quota") {
				t.Errorf("in the end it says %q", f.Message)
			}
		})
	}
}

// A failed attempt's record stays, with its last lines, while the next pod cannot be created.
func TestTheNextAttemptThatCannotBeCreatedIsToldBesideTheLastOne(t *testing.T) {
	w := statetest.New().Pod(1, corev1.PodFailed, statetest.Ended(1, statetest.Network)).
		Record(pullstate.Record{Pod: "pod-a", PodCreated: statetest.At(1).Time, Attempts: 1, Ran: true, Ended: true, Outcome: statetest.Network, LogTail: []string{"a"}})
	if write(t, w, warned("Job", "FailedCreate", noRoom, 0)) {
		t.Error("an event from before that attempt is told")
	}
	if !write(t, w, warned("Job", "FailedCreate", noRoom, 30)) {
		t.Fatal("nothing is written on the Job")
	}
	if s := w.State(t); s.Phase != pull.Retrying || s.Message != "Attempt 1 failed, another will start: connection reset. Its pod cannot be created: exceeded quota: team, requested: pods=1, used: pods=5, limited: pods=5" {
		t.Errorf("%s %q", s.Phase, s.Message)
	}
	w.Condition(batchv1.JobFailed, batchv1.JobReasonDeadlineExceeded, "")
	f := w.State(t).Failure
	if f.Reason != pull.Quota || len(f.LogTail) != 1 || !strings.Contains(f.Message, "connection reset") || !strings.Contains(f.Message, "exceeded quota") {
		t.Errorf("%+v", f)
	}
}

func TestAPullsJobIsNotWrittenForEachEvent(t *testing.T) {
	w := statetest.New().Pod(1, corev1.PodPending, nil)
	sandbox := func(id string) *corev1.Event {
		return warned("Pod", "FailedCreatePodSandBox", "failed to set up network for sandbox \""+strings.Repeat(id, 64)+"\": no addresses", 5)
	}
	if !write(t, w, sandbox("a")) || write(t, w, sandbox("b")) {
		t.Error("an event that differs by an id is written again, or none is")
	}
	w.Job.Spec.Suspend = new(true)
	if write(t, w, warned("Pod", "FailedMount", noSecret, 5)) {
		t.Error("the Job of a queued pull is written")
	}
}

func TestEventsThatKeepNothingFromStartingArePassedOver(t *testing.T) {
	for _, event := range []*corev1.Event{
		warned("Pod", "BackOff", "Back-off pulling image", 1), // the pod's status tells it
		warned("Pod", "FailedCreate", noRoom, 1),              // of a controller that is not the Job's
		warned("ReplicaSet", "FailedCreate", noRoom, 1),
		warned("Pod", "Unhealthy", "Readiness probe failed", 1),
		{Type: corev1.EventTypeNormal, Reason: "FailedMount", InvolvedObject: corev1.ObjectReference{Kind: "Pod"}},
	} {
		if w := pullstate.ReadWarning(event); w != nil {
			t.Errorf("%s of a %s is taken for a warning", event.Reason, event.InvolvedObject.Kind)
		}
	}
}

func TestATimeoutDoesNotHideWhichVolumeIsMissing(t *testing.T) {
	first := pullstate.ReadWarning(warned("Pod", "FailedMount", noSecret, 1))
	late := pullstate.ReadWarning(warned("Pod", "FailedMount", "Unable to attach or mount volumes: unmounted volumes=[registry-logins]: timed out", 120))
	got := late.MoreTelling(first)
	if got.Message != noSecret || !got.Time.Equal(statetest.Epoch.Add(2*time.Minute)) {
		t.Errorf("%+v", got)
	}
	if got := late.MoreTelling(nil); got.Message != late.Message {
		t.Errorf("without another one: %+v", got)
	}
}
