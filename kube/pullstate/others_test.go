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

// beside adds a container that a cluster has added to the newest pod.
func beside(w *statetest.World, name string, state *corev1.ContainerState) *statetest.World {
	pod := w.Pods[len(w.Pods)-1]
	pod.Status.ContainerStatuses = append([]corev1.ContainerStatus{{Name: name, State: *state}}, pod.Status.ContainerStatuses...)
	return w
}

// before adds an init container that a cluster has added to the newest pod.
func before(w *statetest.World, name string, state *corev1.ContainerState) *statetest.World {
	pod := w.Pods[len(w.Pods)-1]
	pod.Status.InitContainerStatuses = append(pod.Status.InitContainerStatuses, corev1.ContainerStatus{Name: name, State: *state})
	return w
}

func exited(code int32, reason, message string) *corev1.ContainerState {
	return &corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, Message: message, StartedAt: statetest.At(2), FinishedAt: statetest.At(3)}}
}

// settle plays a leader that ends the Job of a copied pull, and Kubernetes' Job controller after it.
func settle(t *testing.T, w *statetest.World) time.Time {
	t.Helper()
	end, due, unsettled := w.View(t).Unsettled()
	if !unsettled {
		t.Fatal("the Job is not to be ended")
	}
	w.Record(*end)
	if _, _, again := w.View(t).Unsettled(); again {
		t.Error("the Job is to be ended again")
	}
	w.Pods = nil
	w.Condition(batchv1.JobFailed, batchv1.JobReasonDeadlineExceeded, "Job was active longer than specified deadline")
	return due
}

func TestTheEndOfTheCopierDecidesWhateverOtherContainersDo(t *testing.T) {
	copied := func(phase corev1.PodPhase) *statetest.World {
		return statetest.New().Pod(1, phase, statetest.Ended(0, statetest.Copied))
	}
	for name, c := range map[string]struct {
		world   *statetest.World
		waits   bool
		message string
	}{
		"one never ends": {beside(copied(corev1.PodRunning), "istio-proxy", statetest.Running()), true, "containers that are not pullwatch's: istio-proxy."},
		"one fails":      {beside(copied(corev1.PodFailed), "agent", exited(7, "Error", "")), false, "containers that are not pullwatch's: agent (exit code 7)."},
		"another attempt has begun": {
			func() *statetest.World {
				w := copied(corev1.PodFailed).Record(pullstate.Record{Pod: "pod-a", PodCreated: statetest.At(1).Time, Attempts: 1, Ran: true, Ended: true, Outcome: statetest.Copied})
				return w.Pod(20, corev1.PodFailed, statetest.Ended(1, statetest.Network))
			}(), false, "Copied 900 B: sha256:",
		},
		"its pod is deleted": {
			statetest.New().Record(pullstate.Record{Pod: "gone", Attempts: 1, Ran: true, Ended: true, Outcome: statetest.Copied}), false, "Copied 900 B: sha256:",
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := c.world.State(t)
			if before.Phase != pull.Pulling {
				t.Errorf("before its Job has ended it is %s: %s", before.Phase, before.Message)
			}
			due := settle(t, c.world)
			if due.IsZero() == c.waits {
				t.Errorf("the Job is ended at %v", due)
			}
			s := c.world.State(t)
			if s.Phase != pull.Succeeded || !strings.Contains(s.Message, c.message) || *s.Destination.Digest != statetest.Copied.Digest {
				t.Errorf("%s %q", s.Phase, s.Message)
			}
			if s.FinishedAt.IsZero() || s.Failure != nil || s.Progress.Percent != 100 {
				t.Errorf("%+v", s)
			}
			if pullstate.Failed(c.world.Job) {
				t.Error("it counts as failed, so it could be retried")
			}
		})
	}
}

func TestAPodThatEndsByItselfIsLeftAlone(t *testing.T) {
	for name, w := range map[string]*statetest.World{
		"it succeeds":         statetest.New().Pod(1, corev1.PodSucceeded, statetest.Ended(0, statetest.Copied)),
		"the copy has failed": beside(statetest.New().Pod(1, corev1.PodRunning, statetest.Ended(1, statetest.Network)), "istio-proxy", statetest.Running()),
		"the copier runs":     beside(statetest.New().Pod(1, corev1.PodRunning, statetest.Running()), "agent", exited(7, "Error", "")),
		"the Job has ended":   statetest.New().Condition(batchv1.JobComplete, "", "").Pod(1, corev1.PodRunning, statetest.Ended(0, statetest.Copied)),
		"the Job is canceled": func() *statetest.World {
			w := beside(statetest.New().Pod(1, corev1.PodRunning, statetest.Ended(0, statetest.Copied)), "a", statetest.Running())
			w.Job.Annotations[pullstate.AnnotationCanceled] = statetest.Epoch.Format(time.RFC3339Nano)
			return w
		}(),
		"the Job fails anyway": statetest.New().Condition(batchv1.JobFailureTarget, "", "").Pod(1, corev1.PodFailed, statetest.Ended(0, statetest.Copied)),
	} {
		if _, _, unsettled := w.View(t).Unsettled(); unsettled {
			t.Errorf("%s: the Job is to be ended", name)
		}
	}
	_, due, _ := statetest.New().Pod(1, corev1.PodRunning, statetest.Ended(0, statetest.Copied)).View(t).Unsettled()
	if wait := due.Sub(statetest.At(40).Time); wait < 6*time.Second || wait > 30*time.Second {
		t.Errorf("native sidecars have %v to end, and the user waits as long", wait)
	}
}

func TestWhatKeepsTheCopierFromStartingIsNamed(t *testing.T) {
	pending := func() *statetest.World {
		return statetest.New().Pod(1, corev1.PodPending, statetest.Waiting("PodInitializing", ""))
	}
	for name, c := range map[string]struct {
		world   *statetest.World
		phase   pull.Phase
		message string
	}{
		"an init container fails": {
			before(statetest.New().Pod(1, corev1.PodFailed, statetest.Waiting("PodInitializing", "")), "istio-init", exited(2, "Error", "iptables: permission denied")),
			pull.Retrying, "Attempt 1 failed before it began, another will start: The copier could not start: the container istio-init, which is not pullwatch's, failed (exit code 2: iptables: permission denied).",
		},
		"an init container runs": {before(pending(), "vault-agent-init", statetest.Running()), pull.Pending, "Waits for the container vault-agent-init, which is not pullwatch's, to do its work first."},
		"an init container's image cannot be had": {
			before(pending(), "istio-init", statetest.Waiting("ImagePullBackOff", "not found")), pull.Pending,
			"The copier cannot start: the container istio-init, which is not pullwatch's, cannot: ImagePullBackOff: not found",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if s := c.world.State(t); s.Phase != c.phase || s.Message != c.message {
				t.Errorf("%s %q", s.Phase, s.Message)
			}
		})
	}
	w := before(statetest.New().Pod(1, corev1.PodFailed, statetest.Waiting("PodInitializing", "")), "istio-init", exited(2, "Error", ""))
	w.Condition(batchv1.JobFailed, "BackoffLimitExceeded", "")
	if f := w.State(t).Failure; f.Reason != pull.OtherContainer || !strings.Contains(f.Message, "istio-init") {
		t.Errorf("in the end it says %s %q", f.Reason, f.Message)
	}
}

func TestACopiedPullNamesTheContainersThatKeepItsPod(t *testing.T) {
	w := beside(statetest.New().Pod(1, corev1.PodRunning, statetest.Ended(0, statetest.Copied)).Log(900, 900, 0, "Copied 900 B"), "istio-proxy", statetest.Running())
	if s := w.State(t); s.Phase != pull.Pulling || s.Message != "Copied 900 B. Containers that are not pullwatch's have not ended: istio-proxy." {
		t.Errorf("%s %q", s.Phase, s.Message)
	}
}
