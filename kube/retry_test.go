package kube

import (
	"testing"

	batchv1 "k8s.io/api/batch/v1"

	"pullwatch/internal/pull"
	"pullwatch/internal/usererr"
)

func TestRetryingTwiceStartsAFailedPullOnce(t *testing.T) {
	r := newReplica(t, newAPI(t), "a", 10)
	id := r.start(t, "nginx")[0].ID
	if _, err := r.pulls.Retry(t.Context(), id); usererr.CodeOf(err) != usererr.Conflict {
		t.Errorf("of a pull that has not failed: %v", err)
	}
	r.finish(t, id, batchv1.JobFailed, "BackoffLimitExceeded")
	r.await(t, id, phase(pull.Failed))
	again, err := r.pulls.Retry(t.Context(), id)
	if err != nil || again.ID == id || again.RetryOf == nil || *again.RetryOf != id || again.Image.Name != "docker.io/library/nginx:latest" {
		t.Fatalf("%+v, %v", again, err)
	}
	if twice, err := r.pulls.Retry(t.Context(), id); err != nil || twice.ID != again.ID {
		t.Errorf("retried twice: %+v, %v", twice, err)
	}
	if _, err := r.pulls.Retry(t.Context(), "nope"); usererr.CodeOf(err) != usererr.NotFound {
		t.Errorf("%v", err)
	}
}
