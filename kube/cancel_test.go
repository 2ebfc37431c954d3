package kube

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"pullwatch/internal/pull"
	"pullwatch/internal/usererr"
	"pullwatch/kube/pullstate/statetest"
)

func TestACanceledPullEndsAndItsJobGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplica(t, newAPI(t), "a", 1)
		started := r.start(t, "nginx:1", "nginx:2")
		first, queued := started[0].ID, started[1].ID
		r.await(t, first, phase(pull.Pending))
		r.runPod(t, first, corev1.PodRunning, *statetest.Running())
		r.await(t, first, phase(pull.Pulling))
		for _, id := range []string{queued, first} {
			updates, err := r.hub.Subscribe([]string{id}, pull.Position{})
			if err != nil {
				t.Fatal(err)
			}
			got, err := r.pulls.Cancel(t.Context(), id)
			if err != nil || got.Phase != pull.Canceled {
				t.Fatalf("%+v, %v", got, err)
			}
			var last *pull.State
			for {
				state, err := updates.Await(t.Context())
				if err != nil {
					break
				}
				last = state
			}
			updates.Close()
			if last.Phase != pull.Canceled || last.FinishedAt.IsZero() {
				t.Errorf("the last update is %+v", last)
			}
			if again, err := r.pulls.Cancel(t.Context(), id); err != nil || again.Phase != pull.Canceled {
				t.Errorf("canceled twice: %+v, %v", again, err)
			}
			if _, err := r.pulls.Retry(t.Context(), id); usererr.CodeOf(err) != usererr.Conflict {
				t.Errorf("retried after it was canceled: %v", err)
			}
		}
		time.Sleep(time.Second + maxClockSkew) // fake time
		synctest.Wait()
		if names := r.jobNames(t); len(names) != 0 {
			t.Errorf("Jobs are left: %v", names)
		}
		if again := r.start(t, "nginx:1")[0]; again.ID == first {
			t.Error("the id of a canceled pull was used again")
		}
	})
}

func TestAPullThatHasEndedIsNotCanceled(t *testing.T) {
	r := newReplica(t, newAPI(t), "a", 10)
	id := r.start(t, "nginx")[0].ID
	r.finish(t, id, batchv1.JobComplete, "")
	if _, err := r.pulls.Cancel(t.Context(), id); usererr.CodeOf(err) != usererr.Conflict {
		t.Errorf("of a pull that succeeded: %v", err)
	}
	for _, id := range []string{"", "nope", "../x", "UPPER", strings.Repeat("x", 1000)} {
		if _, err := r.pulls.Cancel(t.Context(), id); usererr.CodeOf(err) != usererr.NotFound {
			t.Errorf("of %.20q: %v", id, err)
		}
	}
}
