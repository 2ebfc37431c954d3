package e2e

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestAnImageThatDoesNotExistIsNotFound(t *testing.T) {
	source := newSource(t)
	s := startServer(t, newNamespace(t), insecure(source.host)...)
	results := s.start(t, source.host+"/missing:1", "Not an image")
	if bad := results[1]; bad.Pull != nil || bad.Joined || bad.Error == nil || bad.Error.Code != "BAD_INPUT" {
		t.Errorf("an invalid name: %+v", bad)
	}
	if results[0].Error != nil {
		t.Fatalf("the good name beside it: %+v", results[0].Error)
	}
	failed := s.outcome(t, results[0].Pull.ID)
	checkFailure(t, failed, "NOT_FOUND", source.host)
	if failed.Attempts != 1 {
		t.Errorf("what is not there was tried %d times", failed.Attempts)
	}
	eventually(t, "the lists show that it has failed", func() bool {
		listed := find(s.failedPulls(t), failed.ID)
		return listed != nil && listed.Failure != nil && listed.Failure.Reason == "NOT_FOUND" && find(s.activePulls(t), failed.ID) == nil
	})
	figures.add(t, "startPulls until FAILED (NOT_FOUND)", "%.1f s", failed.FinishedAt.Sub(failed.CreatedAt).Seconds())
}

func TestARetrySucceedsOnceThereIsALogin(t *testing.T) {
	private := newDistribution(t, loginOnly(t))
	image := private.host + "/team/app:1"
	digest := push(t, image, randomImage(t, 100_000, 2), &authn.Basic{Username: loginUser, Password: loginPassword})
	namespace := newNamespace(t)

	stranger := startServer(t, namespace, insecure(private.host)...)
	failed := stranger.outcome(t, stranger.startOne(t, image).ID)
	checkFailure(t, failed, "UNAUTHORIZED", private.host)
	stranger.Terminate(t)

	const secret = "registry-logins"
	createLogins(t, namespace, secret, map[string]login{private.host: {loginUser, loginPassword}})
	guest := startServer(t, namespace, append(insecure(private.host), "--registry-secret="+secret)...)
	again, err := guest.retry(t, failed.ID)
	if err != nil {
		t.Fatal(err)
	}
	if again.RetryOf == nil || *again.RetryOf != failed.ID {
		t.Errorf("retryOf is %v", again.RetryOf)
	}
	checkCopied(t, guest.outcome(t, again.ID), digest)
}

// login is a user's name and password.
type login struct{ user, password string }

// createLogins makes the secret that --registry-secret names, of logins by the key of their entries.
func createLogins(t *testing.T, namespace, name string, logins map[string]login) {
	t.Helper()
	entries := map[string]map[string]string{}
	for key, l := range logins {
		entries[key] = map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte(l.user + ":" + l.password))}
	}
	config, err := json.Marshal(map[string]any{"auths": entries})
	if err != nil {
		t.Fatal(err)
	}
	_, err = env.Client.CoreV1().Secrets(namespace).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Type:       corev1.SecretTypeDockerConfigJson,
		Data:       map[string][]byte{corev1.DockerConfigJsonKey: config},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

func TestACopierImageThatCannotBePulledIsNamed(t *testing.T) {
	s := startServer(t, newNamespace(t), "--copier-image="+env.Registry+"/e2e/nobody-pushed-this:1", "--pull-deadline=20s")
	updates := s.updates(t, s.startOne(t, env.app).ID)
	updates.until(t, "tells what its pod waits for", func(p pullJob) bool {
		return p.is("PENDING") && strings.Contains(p.Message, "not found")
	})
	all := updates.rest(t)
	failed := all[len(all)-1]
	checkFailure(t, failed, "COPIER_IMAGE", "nobody-pushed-this", "not found", "deadline of 20s")
	if failed.Attempts != 0 {
		t.Errorf("copying was never started, and attempts is %d", failed.Attempts)
	}
	figures.add(t, "deadline of 20 s until FAILED", "%.1f s", failed.FinishedAt.Sub(*failed.StartedAt).Seconds())
}

// The registry is killed in mid-copy and stays away for so long that the copier gives up.
func TestAPullSucceedsThoughTheRegistryWasStopped(t *testing.T) {
	source, destination := newSource(t), newDistribution(t, "")
	const layers, layerSize = 4, 5_000_000
	image, digest := source.image(t, "app:1", layerSize, layers)
	gate := source.hold(t, layers*layerSize/2)
	namespace := newNamespace(t)
	s := startServer(t, namespace, append(insecure(source.host, destination.host), "--destination="+destination.host+"/"+namespace)...)

	updates := s.updates(t, s.startOne(t, image).ID)
	seen := []pullJob{updates.until(t, "tells that half is copied", func(p pullJob) bool {
		return p.is("PULLING") && p.Progress.Percent >= 40
	})}
	destination.stop(t)
	gate.release()
	retrying := updates.until(t, "is RETRYING", func(p pullJob) bool { return p.is("RETRYING") })
	if !strings.Contains(retrying.Message, destination.host) {
		t.Errorf("it does not say who is away: %s", retrying.Message)
	}
	destination.start(t)
	seen = append(append(seen, retrying), updates.rest(t)...)
	last := seen[len(seen)-1]
	checkCopied(t, last, digest)
	checkNeverFalls(t, seen)
	if last.Attempts < 2 {
		t.Errorf("it took %d attempts", last.Attempts)
	}
	figures.add(t, "attempts, with the destination away until RETRYING", "%d, %.0f s in all",
		last.Attempts, last.FinishedAt.Sub(last.CreatedAt).Seconds())
}

// checkFailure checks a pull's last state: it failed for that reason, and its message holds these words.
func checkFailure(t *testing.T, p pullJob, reason string, words ...string) {
	t.Helper()
	if !p.is("FAILED") || p.Failure == nil {
		t.Fatalf("it did not fail: %+v", p)
	}
	if p.Failure.Reason != reason {
		t.Errorf("reason is %s, want %s: %s", p.Failure.Reason, reason, p.Failure.Message)
	}
	for _, word := range words {
		if !strings.Contains(p.Failure.Message, word) {
			t.Errorf("the message has no word of %q: %s", word, p.Failure.Message)
		}
	}
	if p.Failure.Remedy == "" || p.Failure.LogTail == nil || p.FinishedAt == nil || p.Message == "" {
		t.Fatalf("something is missing: %+v %+v", p, p.Failure)
	}
}
