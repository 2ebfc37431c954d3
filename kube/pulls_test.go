package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pullwatch/internal/pull"
	"pullwatch/internal/usererr"
	"pullwatch/kube/pullstate/statetest"
)

func (r *replica) jobNames(t *testing.T) []string {
	t.Helper()
	list, err := r.client.BatchV1().Jobs(testNamespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, job := range list.Items {
		names = append(names, job.Name)
	}
	return names
}

func TestEachImageHasItsOwnResult(t *testing.T) {
	r := newReplica(t, newAPI(t), "a", 10)
	results, err := r.pulls.Start(t.Context(), pull.StartRequest{Images: []string{"nginx", "NGINX", "host:5000/app@sha256:1", "docker.io/library/nginx:latest"}})
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != 4 || results[0].Image != "nginx" || results[3].Image != "docker.io/library/nginx:latest" {
		t.Fatalf("results are not in the order given: %+v", results)
	}
	for _, i := range []int{1, 2} {
		if results[i].Pull != nil || results[i].Error == nil || results[i].Error.Code != usererr.BadInput {
			t.Errorf("%s: %+v", results[i].Image, results[i])
		}
	}
	if results[0].Pull.ID != results[3].Pull.ID || results[0].Joined == results[3].Joined {
		t.Errorf("the same image twice in one call: %+v, %+v", results[0], results[3])
	}
	if got := results[0].Pull; got.Phase.Final() || got.Destination.Name != "harbor.example/mirror/library/nginx:latest" {
		t.Errorf("%+v", got)
	}
}

func TestAStartThatMakesNoSenseIsBadInput(t *testing.T) {
	r := newReplica(t, newAPI(t), "a", 10)
	bad := "not a registry"
	for name, c := range map[string]struct {
		images      []string
		destination *string
	}{
		"no image":        {nil, nil},
		"101 images":      {make([]string, 101), nil},
		"bad destination": {[]string{"nginx"}, &bad},
	} {
		if _, err := r.pulls.Start(t.Context(), pull.StartRequest{Images: c.images, Destination: c.destination}); usererr.CodeOf(err) != usererr.BadInput {
			t.Errorf("%s: %v", name, err)
		}
	}
	r.pulls.destination = ""
	if _, err := r.pulls.Start(t.Context(), pull.StartRequest{Images: []string{"nginx"}}); usererr.CodeOf(err) != usererr.BadInput {
		t.Errorf("no destination: %v", err)
	}
}

func TestAHundredPullsThatFailToStartAreOneLineOfLog(t *testing.T) {
	var log bytes.Buffer
	p := &Pulls{log: slog.New(slog.NewTextHandler(&log, nil))}
	failed := func(cause error, code usererr.Code) *pull.StartResult {
		return &pull.StartResult{Image: "nginx", Error: usererr.Wrap(cause, code, "no")}
	}
	p.logFailures([]*pull.StartResult{
		{Image: "redis", Pull: &pull.State{}},
		failed(errors.New("no such format"), usererr.BadInput),
		failed(errors.New("not your namespace"), usererr.Forbidden),
		failed(context.Canceled, usererr.Unavailable),
		failed(nil, usererr.Unavailable),
	})
	if log.Len() > 0 {
		t.Errorf("of what is no failure of the server: %s", &log)
	}
	var results []*pull.StartResult
	for range pull.MaxStart {
		results = append(results, failed(errors.New("connection refused"), usererr.Unavailable))
	}
	p.logFailures(results)
	if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "pulls=100") || !strings.Contains(text, "connection refused") {
		t.Errorf("of 100 pulls: %s", text)
	}
}

func TestTwoReplicasThatStartAPullMakeOneJob(t *testing.T) {
	api := newAPI(t)
	a, b := newReplica(t, api, "a", 1), newReplica(t, api, "b", 1)
	for round := range 10 {
		image := fmt.Sprintf("nginx:%d", round)
		var got [2]*pull.StartResult
		var wg sync.WaitGroup
		for i, r := range []*replica{a, b} {
			wg.Go(func() {
				results, err := r.pulls.Start(t.Context(), pull.StartRequest{Images: []string{image}})
				if err == nil {
					got[i] = results[0]
				}
			})
		}
		wg.Wait()
		if got[0] == nil || got[1] == nil || got[0].Error != nil || got[1].Error != nil {
			t.Fatalf("%+v %+v", got[0], got[1])
		}
		if got[0].Pull.ID != got[1].Pull.ID || got[0].Joined == got[1].Joined {
			t.Errorf("%+v, %+v", got[0], got[1])
		}
	}
	if n := len(a.jobNames(t)); n != 10 {
		t.Errorf("%d Jobs for 10 images", n)
	}
}

func TestJobsAreSafeAndBounded(t *testing.T) {
	r := newReplica(t, newAPI(t), "a", 10)
	id := r.start(t, "nginx:1.27")[0].ID
	job, err := r.client.BatchV1().Jobs(testNamespace).Get(t.Context(), id, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	spec, pod := job.Spec, job.Spec.Template.Spec
	if *spec.ActiveDeadlineSeconds != 60 || *spec.TTLSecondsAfterFinished != 3600 || len(spec.PodFailurePolicy.Rules) != 2 {
		t.Errorf("%+v", spec)
	}
	if *pod.AutomountServiceAccountToken || pod.RestartPolicy != corev1.RestartPolicyNever {
		t.Errorf("%+v", pod)
	}
	copier := pod.Containers[0]
	if sc := copier.SecurityContext; !*sc.RunAsNonRoot || !*sc.ReadOnlyRootFilesystem || *sc.AllowPrivilegeEscalation {
		t.Errorf("%+v", sc)
	}
	if args := strings.Join(copier.Args, " "); !strings.HasSuffix(args, "docker.io/library/nginx:1.27 harbor.example/mirror/library/nginx:1.27") {
		t.Errorf("args %s", args)
	}
	if !strings.HasPrefix(id, "nginx-1-27-") || len(id) > 57 {
		t.Errorf("name %s", id)
	}
}

func TestACanceledPullEndsAndItsJobGoes(t *testing.T) {
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
	if names := r.jobNames(t); len(names) != 0 {
		t.Errorf("Jobs are left: %v", names)
	}
	if again := r.start(t, "nginx:1")[0]; again.ID == first {
		t.Error("the id of a canceled pull was used again")
	}
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

func TestMutationsAreUnavailableWhileKubernetesIsAway(t *testing.T) {
	r := newReplica(t, newAPI(t), "a", 10)
	id := r.start(t, "nginx")[0].ID
	r.refuse.on.Store(true)
	results, err := r.pulls.Start(t.Context(), pull.StartRequest{Images: []string{"redis"}})
	if err != nil || results[0].Error == nil || results[0].Error.Code != usererr.Unavailable {
		t.Errorf("start: %+v, %v", results, err)
	}
	if _, err := r.pulls.Cancel(t.Context(), id); usererr.CodeOf(err) != usererr.Unavailable || strings.Contains(err.(*usererr.Error).Message, "refused") {
		t.Errorf("cancel: %v", err)
	}
}
