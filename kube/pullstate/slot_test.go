package pullstate_test

import (
	"slices"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"pullwatch/kube/pullstate"
	"pullwatch/kube/pullstate/statetest"
)

func TestAnEndingJobHoldsItsSlotUntilItHasEndedOrItsPodIsOverdue(t *testing.T) {
	deleted := new(statetest.At(50))
	gone := deleted.Add(30 * time.Second)
	for name, c := range map[string]struct {
		world *statetest.World
		held  bool
		until time.Time
	}{
		"no pod is known":      {world: statetest.New(), held: true},
		"its copier runs":      {world: statetest.New().Pod(1, corev1.PodRunning, statetest.Running()), held: true, until: gone},
		"its copier has ended": {world: statetest.New().Pod(1, corev1.PodRunning, statetest.Ended(1, statetest.Network)), held: true, until: gone},
	} {
		t.Run(name, func(t *testing.T) {
			w := c.world.Condition(batchv1.JobFailureTarget, batchv1.JobReasonDeadlineExceeded, "")
			for _, pod := range w.Pods {
				pod.DeletionTimestamp = deleted // and containers that are not pullwatch's keep it
			}
			if held, until := pullstate.HoldsSlot(w.Job, slices.Values(w.Pods)); held != c.held || !until.Equal(c.until) {
				t.Errorf("held: %v until %v, want %v until %v", held, until, c.held, c.until)
			}
		})
	}
}
