package e2e

import (
	"fmt"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
)

// inject has the API server add a container, given in CEL, to the list containers or initContainers of the pods of a namespace, as a
// service mesh does. The container has arguments, which merged refuses.
func inject(t *testing.T, namespace, list, container string) {
	t.Helper()
	add := `JSONPatch{op: "add", path: "/spec/%s", value: %s}`
	operations := fmt.Sprintf(add, list+"/-", container)
	if list == "initContainers" { // pods have no such list yet
		operations = fmt.Sprintf(add, list, "[]") + ", " + operations
	}
	change(t, env.Client, namespace, podKind, admissionv1.Create, admissionv1.Mutation{
		PatchType: admissionv1.PatchTypeJSONPatch,
		JSONPatch: &admissionv1.JSONPatch{Expression: "[" + operations + "]"},
	})
	eventually(t, "the API server heeds the policy", func() bool {
		pod, err := dryRunPod(t, namespace, "probe")
		if err != nil {
			t.Fatal(err)
		}
		return len(pod.Spec.Containers)+len(pod.Spec.InitContainers) > 1
	})
}

func TestACopiedPullSucceedsThoughASidecarDoesNotEnd(t *testing.T) {
	t.Parallel()
	for name, args := range map[string]string{"runs for ever": ``, "fails": `, args: ["exit", "7"]`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := newSource(t)
			image, digest := source.image(t, "app:1", 1000, 1)
			next, nextDigest := source.image(t, "app:2", 1000, 1)
			namespace := newNamespace(t)
			inject(t, namespace, "containers", fmt.Sprintf(`Object.spec.containers{name: "mesh-proxy", image: %q%s}`, env.app, args))
			s := startServer(t, namespace, append(insecure(source.host), "--max-parallel=1")...)
			pulls := s.startAll(t, image, next)
			last := s.outcome(t, pulls[0].ID)
			checkCopied(t, last, digest)
			if !strings.Contains(last.Message, "containers that are not pullwatch's: mesh-proxy") {
				t.Errorf("the sidecar is not named: %s", last.Message)
			}
			checkCopied(t, s.outcome(t, pulls[1].ID), nextDigest)
			if _, err := s.retry(t, pulls[0].ID); codeOf(err) != "CONFLICT" {
				t.Errorf("a retry of the copied pull: %v", err)
			}
		})
	}
}

func TestAnInitContainerThatFailsIsNamed(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	inject(t, namespace, "initContainers", fmt.Sprintf(`Object.spec.initContainers{name: "mesh-init", image: %q, args: ["exit", "3"]}`, env.app))
	s := startServer(t, namespace, "--pull-deadline=40s")
	updates := s.updates(t, s.startOne(t, env.app).ID)
	updates.until(t, "names it", func(p pullJob) bool {
		return p.is("RETRYING") && strings.Contains(p.Message, "the container mesh-init, which is not pullwatch's, failed (exit code 3)")
	})
	all := updates.rest(t)
	checkFailure(t, all[len(all)-1], "OTHER_CONTAINER", "mesh-init")
}
