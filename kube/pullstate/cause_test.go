package pullstate_test

import (
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"pullwatch/internal/pull"
	"pullwatch/kube/pullstate"
	"pullwatch/kube/pullstate/statetest"
)

// Of several causes, the one that decides is told.
func TestOfSeveralCausesOneIsTold(t *testing.T) {
	late := func(w *statetest.World) *statetest.World {
		return w.Condition(batchv1.JobFailureTarget, batchv1.JobReasonDeadlineExceeded, "x")
	}
	// event plays a leader that has read an event.
	event := func(w *statetest.World, e *corev1.Event) *statetest.World {
		write(t, w, e)
		return w
	}
	pending := func(state *corev1.ContainerState) *statetest.World {
		return statetest.New().Pod(1, corev1.PodPending, state)
	}
	noMount := warned("Pod", "FailedMount", noSecret, 5)
	for name, c := range map[string]struct {
		world   *statetest.World
		message string
	}{
		"an event, and the pod says nothing": {event(pending(statetest.Waiting("ContainerCreating", "")), noMount), "The copier cannot start: FailedMount: " + noSecret},
		"an event, and the pod says another cause": {
			func() *statetest.World {
				w := event(pending(statetest.Waiting("ContainerCreating", "")), noMount)
				w.Pods[0].Status.ContainerStatuses[0].State = *statetest.Waiting("ImagePullBackOff", "no such image")
				return w
			}(), "The copier cannot start: ImagePullBackOff: no such image",
		},
		"an event, and the pod is evicted": {
			func() *statetest.World {
				w := event(pending(statetest.Waiting("ContainerCreating", "")), noMount)
				w.Pods[0].DeletionTimestamp = new(statetest.At(30))
				return disrupted(w, "EvictionByEvictionAPI", "Eviction API: evicting")
			}(), "Kubernetes stops its copier: (EvictionByEvictionAPI) Eviction API: evicting",
		},
		"no pod could be created, and the deadline has passed": {
			late(event(statetest.New(), warned("Job", "FailedCreate", noRoom, 5))),
			"Failed, ending: Never started within its deadline of 1m0s. Its pod cannot be created: exceeded quota",
		},
		"it never started, and the deadline has passed": {
			late(event(pending(statetest.Waiting("ContainerCreating", "")), noMount)),
			"Failed, ending: Never started within its deadline of 1m0s. The copier cannot start: FailedMount: " + noSecret,
		},
		"the leader gives up what never started": {
			func() *statetest.World {
				w := event(statetest.New(), warned("Job", "FailedCreate", noRoom, 5))
				w.Job.Status.StartTime = new(statetest.At(0))
				rec, _, _ := w.View(t).Yields(statetest.At(70).Time)
				w.Record(*rec)
				w.Job.Spec.ActiveDeadlineSeconds = new(int64(1))
				return late(w)
			}(), "Failed, ending: Never started in 50s. Its pod cannot be created: exceeded quota",
		},
		"a copied image, a sidecar that runs, and a deadline that has passed": {
			late(beside(statetest.New().Pod(1, corev1.PodRunning, statetest.Ended(0, statetest.Copied)), "istio-proxy", statetest.Running())),
			"Copying has started. Containers that are not pullwatch's have not ended: istio-proxy.",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if s := c.world.State(t); !strings.HasPrefix(s.Message, c.message) {
				t.Errorf("%s %q", s.Phase, s.Message)
			}
		})
	}
}

func TestAnEvictionIsNotBlamedOnAnotherContainer(t *testing.T) {
	w := before(statetest.New().Pod(1, corev1.PodFailed, statetest.Waiting("PodInitializing", "")), "istio-init", exited(137, "Error", ""))
	disrupted(w, "EvictionByEvictionAPI", "Eviction API: evicting").Condition(batchv1.JobFailed, "BackoffLimitExceeded", "")
	if f := w.State(t).Failure; f.Reason != pull.Evicted || !strings.Contains(f.Message, "Eviction API: evicting") {
		t.Errorf("%s %q", f.Reason, f.Message)
	}
}

func TestANodeWithoutRoomIsNotBlamedOnAnotherContainer(t *testing.T) {
	w := before(statetest.New().Pod(1, corev1.PodPending, statetest.Waiting("PodInitializing", "")), "istio-init", statetest.Waiting("ErrImagePull", "write /x: no space left on device"))
	w.Condition(batchv1.JobFailed, batchv1.JobReasonDeadlineExceeded, "")
	if f := w.State(t).Failure; f.Reason != pull.DiskFull || !strings.Contains(f.Message, "istio-init") {
		t.Errorf("%s %q", f.Reason, f.Message)
	}
}

func TestADeletedJobWhosePullHasEndedIsNotLost(t *testing.T) {
	deleted := func(w *statetest.World) *statetest.World {
		w.Job.DeletionTimestamp, w.Job.Finalizers = new(statetest.At(30)), []string{"example.com/audit"}
		return w
	}
	h := pullstate.Hindrance{Since: statetest.Epoch, Message: "denied", GivenUp: statetest.At(20).Time}
	text, err := h.Annotation()
	if err != nil {
		t.Fatal(err)
	}
	w := deleted(statetest.New())
	w.Job.Spec.Suspend, w.Job.Annotations[pullstate.AnnotationHindrance] = new(true), text
	if f := w.State(t).Failure; f == nil || f.Reason != pull.Refused {
		t.Errorf("given up: %+v", f)
	}
	w = deleted(beside(statetest.New().Pod(1, corev1.PodFailed, statetest.Ended(0, statetest.Copied)), "agent", exited(7, "Error", "")))
	if s := w.State(t); s.Phase != pull.Pulling {
		t.Errorf("copied: %s %q", s.Phase, s.Message)
	}
	settle(t, w)
	if s := w.State(t); s.Phase != pull.Succeeded {
		t.Errorf("copied and ended: %s %q", s.Phase, s.Message)
	}
}
