package kube

import (
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pullwatch/internal/pull"
	"pullwatch/internal/usererr"
	"pullwatch/kube/pullstate"
)

func (r *replica) startFor(t *testing.T, image string, platforms ...string) *pull.StartResult {
	t.Helper()
	results, err := r.pulls.Start(t.Context(), pull.StartRequest{Images: []string{image}, Platforms: platforms})
	if err != nil || results[0].Error != nil {
		t.Fatalf("%v, %+v", err, results)
	}
	return results[0]
}

func TestPullsOfOtherPlatformsAreOtherPulls(t *testing.T) {
	r := newReplica(t, newAPI(t), "a", 10)
	all := r.startFor(t, "nginx:1")
	two := r.startFor(t, "nginx:1", "linux/arm64/v8", "linux/amd64", "linux/arm64")
	if two.Joined || two.Pull.ID == all.Pull.ID || all.Pull.Platforms != nil || !slices.Equal(two.Pull.Platforms, []string{"linux/amd64", "linux/arm64"}) {
		t.Fatalf("%+v, %+v", all.Pull, two.Pull)
	}
	if same := r.startFor(t, "nginx:1", "linux/amd64", "linux/aarch64"); !same.Joined || same.Pull.ID != two.Pull.ID {
		t.Errorf("the same platforms in another spelling: %+v", same.Pull)
	}
	if one := r.startFor(t, "nginx:1", "linux/amd64"); one.Joined || one.Pull.ID == two.Pull.ID {
		t.Errorf("one of the platforms: %+v", one.Pull)
	}

	id := two.Pull.ID
	job, err := r.client.BatchV1().Jobs(testNamespace).Get(t.Context(), id, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	const args = "--platform=linux/amd64 --platform=linux/arm64 docker.io/library/nginx:1 harbor.example/mirror/library/nginx:1"
	if got := strings.Join(job.Spec.Template.Spec.Containers[0].Args, " "); !strings.HasSuffix(got, args) {
		t.Errorf("args %s", got)
	}
	if of, err := pullstate.Identify(job); err != nil || !slices.Equal(of.Platforms, two.Pull.Platforms) {
		t.Errorf("read from the Job: %+v, %v", of, err)
	}
	r.finish(t, id, batchv1.JobFailed, "BackoffLimitExceeded")
	r.await(t, id, phase(pull.Failed))
	if again, err := r.pulls.Retry(t.Context(), id); err != nil || again.ID == id || !slices.Equal(again.Platforms, two.Pull.Platforms) {
		t.Errorf("retried: %+v, %v", again, err)
	}
}

func TestPlatformsThatCannotBeAreRefused(t *testing.T) {
	r := newReplica(t, newAPI(t), "a", 10)
	for _, platforms := range [][]string{{}, {"linux"}, make([]string, pull.MaxPlatforms+1)} {
		if _, err := r.pulls.Start(t.Context(), pull.StartRequest{Images: []string{"nginx"}, Platforms: platforms}); usererr.CodeOf(err) != usererr.BadInput {
			t.Errorf("%q: %v", platforms, err)
		}
	}
	digest := "sha256:" + strings.Repeat("a", 64)
	results, err := r.pulls.Start(t.Context(), pull.StartRequest{Images: []string{"nginx@" + digest, "nginx:1@" + digest}, Platforms: []string{"linux/amd64"}})
	if err != nil || results[0].Error == nil || results[0].Error.Code != usererr.BadInput || results[1].Error != nil {
		t.Fatalf("%v, %+v", err, results)
	}
	if got := results[1].Pull; *got.Image.Digest != digest || got.Destination.Name != "harbor.example/mirror/library/nginx:1" {
		t.Errorf("%+v", got)
	}
}

func TestDestinationIsFilledInFromTheImage(t *testing.T) {
	r := newReplica(t, newAPI(t), "a", 10)
	results, err := r.pulls.Start(t.Context(), pull.StartRequest{
		Images: []string{"host:5000/a/b:1", "nginx:1"}, Destination: new("harbor.example/{registry}/{repository}"),
	})
	if err != nil || results[0].Error != nil || results[1].Error != nil {
		t.Fatalf("%v, %+v", err, results)
	}
	for i, want := range []string{"harbor.example/host_5000/a/b:1", "harbor.example/docker.io/library/nginx:1"} {
		if got := results[i].Pull.Destination.Name; got != want {
			t.Errorf("copied to %s, want %s", got, want)
		}
	}
}
