package e2e

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// dryRunPod returns a pod as the API server would create it.
func dryRunPod(t *testing.T, namespace, name string) (*corev1.Pod, error) {
	t.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: podSpec(corev1.RestartPolicyNever, program("probe"))}
	return env.Client.CoreV1().Pods(namespace).Create(t.Context(), pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
}

// obstacle keeps the pods of pulls from being created or started, as only events tell.
type obstacle struct {
	// prepare puts it into a namespace and returns the flags of the server.
	prepare func(t *testing.T, namespace string) (flags []string)
	reason  string
	// words are in the message.
	words string
}

var obstacles = map[string]obstacle{
	"ResourceQuota":  {quota, "QUOTA", "exceeded quota: team"},
	"LimitRange":     {limitRange, "REFUSED", "maximum memory usage per Container is 64Mi"},
	"policy":         {podPolicy, "REFUSED", madeByHand},
	"Pod Security":   {podSecurity, "REFUSED", "allowPrivilegeEscalation != false"},
	"missing secret": {missingSecret, "VOLUME", `secret "logins" not found`},
	"missing key":    {missingKey, "VOLUME", ".dockerconfigjson"},
	"sandbox":        {noRuntime, "NODE", "nobody-has-this"},
}

func TestAPullWhosePodCannotBeCreatedOrStartedSaysWhy(t *testing.T) {
	t.Parallel()
	for name, o := range obstacles {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			namespace := newNamespace(t)
			s := startServer(t, namespace, append(o.prepare(t, namespace), "--pull-deadline=30s")...)
			updates := s.updates(t, s.startOne(t, env.app).ID)
			updates.until(t, "says why", func(p pullJob) bool { return p.is("PENDING") && strings.Contains(p.Message, o.words) })
			all := updates.rest(t)
			checkFailure(t, all[len(all)-1], o.reason, "Never started within its deadline of 30s", o.words)
		})
	}
}

func quota(t *testing.T, namespace string) (flags []string) {
	_, err := env.Client.CoreV1().ResourceQuotas(namespace).Create(t.Context(), &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "team"},
		Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("0")}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the API server heeds the quota", func() bool {
		_, err := dryRunPod(t, namespace, "probe")
		return err != nil && strings.Contains(err.Error(), "exceeded quota")
	})
	return nil
}

func limitRange(t *testing.T, namespace string) (flags []string) {
	_, err := env.Client.CoreV1().LimitRanges(namespace).Create(t.Context(), &corev1.LimitRange{
		ObjectMeta: metav1.ObjectMeta{Name: "team"},
		Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
			Type: corev1.LimitTypeContainer, Max: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi")},
		}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the API server heeds the limits", func() bool {
		pod, err := dryRunPod(t, namespace, "probe")
		if err != nil {
			t.Fatal(err)
		}
		return !pod.Spec.Containers[0].Resources.Limits.Memory().IsZero() // the greatest one is the default
	})
	return nil
}

const madeByHand = "pods are made by hand here"

func podPolicy(t *testing.T, namespace string) (flags []string) {
	deny(t, namespace, podKind, admissionv1.Create, "", madeByHand)
	eventually(t, "the API server heeds the policy", func() bool {
		_, err := dryRunPod(t, namespace, "probe")
		return err != nil
	})
	return nil
}

func podSecurity(t *testing.T, namespace string) (flags []string) {
	patch := []byte(`{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"restricted"}}}`)
	if _, err := env.Client.CoreV1().Namespaces().Patch(t.Context(), namespace, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the API server heeds the level", func() bool {
		_, err := dryRunPod(t, namespace, "probe")
		return err != nil
	})
	template := jobTemplate(t, `spec: {template: {spec: {containers: [{name: copier, securityContext: {allowPrivilegeEscalation: true}}]}}}`)
	return []string{template, "--allow-unsafe-template"}
}

func missingSecret(*testing.T, string) (flags []string) { return []string{"--registry-secret=logins"} }

func missingKey(t *testing.T, namespace string) (flags []string) {
	_, err := env.Client.CoreV1().Secrets(namespace).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "logins"}, Data: map[string][]byte{"other": nil},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return []string{"--registry-secret=logins"}
}

// noRuntime has pods ask for a runtime that the node does not have.
func noRuntime(t *testing.T, namespace string) (flags []string) {
	classes := env.Client.NodeV1().RuntimeClasses()
	_, err := classes.Create(t.Context(), &nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: namespace}, Handler: "nobody-has-this"}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	removed(t, "runtime class", func(ctx context.Context) error { return classes.Delete(ctx, namespace, metav1.DeleteOptions{}) })
	return []string{jobTemplate(t, "spec: {template: {spec: {runtimeClassName: "+namespace+"}}}")}
}

// jobTemplate returns the flag for a Job template.
func jobTemplate(t *testing.T, yaml string) (flag string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "job.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return "--job-template=" + file
}

// It takes as long as such a pull keeps its slot: two minutes.
func TestAPullThatCannotStartLetsOthersGoFirstAndIsTriedAgain(t *testing.T) {
	t.Parallel()
	source := newSource(t)
	denied, digest := source.image(t, "stuck:1", 1000, 1)
	other, otherDigest := source.image(t, "app:1", 1000, 1)
	namespace := newNamespace(t)
	allow := deny(t, namespace, podKind, admissionv1.Create, "stuck-", "not now")
	eventually(t, "the API server heeds the policy", func() bool {
		_, err := dryRunPod(t, namespace, "stuck-probe")
		return err != nil
	})
	s := startServer(t, namespace, append(insecure(source.host), "--max-parallel=1")...)
	stuck, next := s.startOne(t, denied), s.startOne(t, other)
	updates := s.updates(t, stuck.ID)
	updates.until(t, "says why", func(p pullJob) bool { return p.is("PENDING") && strings.Contains(p.Message, "not now") })
	updates.until(t, "lets others go first", func(p pullJob) bool {
		return p.is("QUEUED") && strings.Contains(p.Message, "Lets other pulls go first") && strings.Contains(p.Message, "not now")
	})
	checkCopied(t, s.outcome(t, next.ID), otherDigest)
	allow()
	endRest(t, namespace, stuck.ID)
	checkCopied(t, s.outcome(t, stuck.ID), digest)
}

// endRest has a pull that let others go first be tried again now, and not minutes later.
func endRest(t *testing.T, namespace, id string) {
	t.Helper()
	const annotation = "pullwatch/record"
	job, err := env.Client.BatchV1().Jobs(namespace).Get(t.Context(), id, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var record map[string]any
	if err := json.Unmarshal([]byte(job.Annotations[annotation]), &record); err != nil {
		t.Fatal(err)
	}
	yield := record["yield"].(map[string]any)
	if until, err := time.Parse(time.RFC3339, yield["notBefore"].(string)); err != nil || time.Until(until) < 30*time.Second {
		t.Errorf("it rests until %v: %v", yield["notBefore"], err)
	}
	yield["notBefore"] = time.Now().UTC()
	text, err := json.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{annotation: string(text)}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := patchJob(t, namespace, id, string(patch), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
}
