package pullstate_test

import (
	"testing"
	"time"

	"pullwatch/internal/pull"
	"pullwatch/kube/pullstate"
	"pullwatch/kube/pullstate/statetest"
)

func TestOnlyAPullThatIsTriedOnSaysThatItIsTriedAgain(t *testing.T) {
	w := statetest.New()
	w.Job.Spec.Suspend = new(true)
	hinder := func(h pullstate.Hindrance) *pull.State {
		text, err := h.Annotation()
		if err != nil {
			t.Fatal(err)
		}
		w.Job.Annotations[pullstate.AnnotationHindrance] = text
		return w.State(t)
	}
	h := pullstate.Hindrance{Since: statetest.Epoch, Message: "Kubernetes refuses to start this Job: no."}
	if s := hinder(h); s.Phase != pull.Queued || s.Message != h.Message+" It is tried again, after longer and longer pauses." {
		t.Errorf("%s: %s", s.Phase, s.Message)
	}
	h.GivenUp = h.Since.Add(10 * time.Minute)
	w.Job.Spec.ActiveDeadlineSeconds = new(int64(1)) // which the leader sets
	if s := hinder(h); s.Phase != pull.Failed || s.Message != "Did not start in 10m0s. "+h.Message {
		t.Errorf("%s: %s", s.Phase, s.Message)
	}
}
