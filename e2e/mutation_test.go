package e2e

import (
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestACanceledPullEndsAndItsJobGoes(t *testing.T) {
	source := newSource(t)
	copying, _ := source.image(t, "copying:1", 3_000_000, 3)
	waiting, _ := source.image(t, "waiting:1", 1000, 1)
	source.hold(t, 4_000_000)
	namespace := newNamespace(t)
	s := startServer(t, namespace, append(insecure(source.host), "--max-parallel=1")...)
	first := s.startOne(t, copying)
	firstUpdates := s.updates(t, first.ID)
	firstUpdates.until(t, "is copying", func(p pullJob) bool { return p.is("PULLING") && p.Progress.Percent > 0 })
	second := s.startOne(t, waiting)
	secondUpdates := s.updates(t, second.ID)
	secondUpdates.until(t, "is queued", func(p pullJob) bool { return p.is("QUEUED") })

	for _, c := range []struct {
		name    string
		pull    pullJob
		updates *subscription[pullJob]
	}{{"while queued", second, secondUpdates}, {"while copying", first, firstUpdates}} {
		t.Run(c.name, func(t *testing.T) {
			canceled, err := s.cancel(t, c.pull.ID)
			if err != nil || !canceled.is("CANCELED") || canceled.FinishedAt == nil {
				t.Fatalf("%+v, %v", canceled, err)
			}
			if find(s.activePulls(t), c.pull.ID) != nil {
				t.Error("activePulls still lists it")
			}
			all := c.updates.rest(t)
			if len(all) == 0 || !all[len(all)-1].is("CANCELED") {
				t.Errorf("the last updates: %+v", all)
			}
			if last := s.pull(t, c.pull.ID); last == nil || !last.is("CANCELED") {
				t.Errorf("pullJob gives %+v", last)
			}
			checkGone(t, namespace, c.pull.ID)
		})
	}
	if _, err := s.cancel(t, "no-such-pull"); codeOf(err) != "NOT_FOUND" {
		t.Errorf("cancel of a pull that does not exist: %v", err)
	}
}

// checkGone waits until a pull's Job and pods are gone.
func checkGone(t *testing.T, namespace, id string) {
	t.Helper()
	eventually(t, "the Job of "+id+" and its pods are gone", func() bool {
		_, err := env.Client.BatchV1().Jobs(namespace).Get(t.Context(), id, metav1.GetOptions{})
		if err == nil {
			return false
		}
		if !apierrors.IsNotFound(err) {
			t.Fatal(err)
		}
		pods, err := env.Client.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "job-name=" + id})
		if err != nil {
			t.Fatal(err)
		}
		return len(pods.Items) == 0
	})
}

func TestAFailedPullCanBeRetried(t *testing.T) {
	source := newSource(t)
	s := startServer(t, newNamespace(t), insecure(source.host)...)
	failed := s.outcome(t, s.startOne(t, source.host+"/late:1").ID)
	checkFailure(t, failed, "NOT_FOUND")
	_, digest := source.image(t, "late:1", 1000, 1)

	again, err := s.retry(t, failed.ID)
	if err != nil {
		t.Fatal(err)
	}
	if again.ID == failed.ID || again.RetryOf == nil || *again.RetryOf != failed.ID {
		t.Errorf("the new pull: %+v", again)
	}
	last := s.outcome(t, again.ID)
	checkCopied(t, last, digest)
	if last.RetryOf == nil || *last.RetryOf != failed.ID {
		t.Errorf("retryOf in the end is %v", last.RetryOf)
	}
	if was := s.pull(t, failed.ID); was == nil || !was.is("FAILED") {
		t.Errorf("the pull that was retried: %+v", was)
	}
	if _, err := s.retry(t, again.ID); codeOf(err) != "CONFLICT" {
		t.Errorf("retry of a pull that has succeeded: %v", err)
	}
	if _, err := s.cancel(t, again.ID); codeOf(err) != "CONFLICT" {
		t.Errorf("cancel of a pull that has succeeded: %v", err)
	}
	if _, err := s.retry(t, "no-such-pull"); codeOf(err) != "NOT_FOUND" {
		t.Errorf("retry of a pull that does not exist: %v", err)
	}
}

func TestStartingAnImageTwiceJoins(t *testing.T) {
	source := newSource(t)
	image, digest := source.image(t, "app:1", 1000, 1)
	gate := source.hold(t, 0)
	s := startServer(t, newNamespace(t), insecure(source.host)...)
	first := s.start(t, image)[0]
	if first.Error != nil || first.Joined {
		t.Fatalf("the first start: %+v", first)
	}
	if find(s.activePulls(t), first.Pull.ID) == nil {
		t.Error("activePulls does not list what has just been started")
	}
	for _, r := range s.start(t, image, image) {
		if r.Error != nil || !r.Joined || r.Pull.ID != first.Pull.ID {
			t.Errorf("started again: %+v", r)
		}
	}
	gate.release()
	checkCopied(t, s.outcome(t, first.Pull.ID), digest)
}
