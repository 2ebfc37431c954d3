package e2e

import (
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"

	"pullwatch/e2e/harness"
)

// It follows the documentation, with the changes that the documentation asks for and those that this cluster needs: it may have
// no Service network, and its registry speaks plain HTTP.
func TestTheManifestDeploysAServerThatWorks(t *testing.T) {
	manifest, err := os.ReadFile("../deploy/pullwatch.yaml")
	if err != nil {
		t.Fatal(err)
	}
	api, err := url.Parse(env.Config.Host)
	if err != nil {
		t.Fatal(err)
	}
	namespace := newNamespace(t)
	text := strings.NewReplacer(
		"kind: Namespace\nmetadata:\n  name: pullwatch", "kind: Namespace\nmetadata:\n  name: "+namespace,
		"namespace: pullwatch", "namespace: "+namespace,
		"pullwatch-podlogs", namespace+"-podlogs",
		"registry.example/pullwatch:1", env.copier,
		"harbor.example/mirror", env.Registry+"/deployed",
		"- --log-format=json", "- --log-format=json\n            - --insecure-registry="+env.Registry,
		"ports: [{ name: http, containerPort", "env: [{ name: KUBERNETES_SERVICE_HOST, value: "+api.Hostname()+" }, { name: KUBERNETES_SERVICE_PORT, value: \""+api.Port()+"\" }]\n          ports: [{ name: http, containerPort",
	).Replace(string(manifest))
	kubectl := func(stdin string, args ...string) {
		t.Helper()
		cmd := exec.Command("kubectl", append([]string{"--kubeconfig=" + env.Kubeconfig}, args...)...)
		cmd.Stdin = strings.NewReader(stdin)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("kubectl %v: %v\n%s", args, err, out)
		}
	}
	t.Cleanup(func() { kubectl("", "delete", "clusterrole", "--ignore-not-found", namespace+"-podlogs") })
	kubectl(text, "apply", "-f", "-")
	kubectl("", "-n", namespace, "rollout", "status", "deployment/pullwatch", "--timeout=120s")

	address := freeAddress(t, "127.0.0.1")
	forward := exec.CommandContext(t.Context(), "kubectl", "--kubeconfig="+env.Kubeconfig, "-n", namespace,
		"port-forward", "service/pullwatch", strings.TrimPrefix(address, "127.0.0.1:")+":80")
	if err := forward.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = forward.Wait() })
	s := &server{&harness.Server{Address: address}}
	eventually(t, "the service answers", func() bool { return s.Status(t, "/readyz") == http.StatusOK })
	p := s.startOne(t, env.app)
	last := s.updates(t, p.ID).until(t, "its end", pullJob.final)
	if !last.is("SUCCEEDED") {
		t.Errorf("%+v", last)
	}
}
