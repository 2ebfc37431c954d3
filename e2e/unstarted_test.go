package e2e

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// dryRunPod returns a pod as the API server would create it.
func dryRunPod(t *testing.T, namespace, name string) (*corev1.Pod, error) {
	t.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: podSpec(corev1.RestartPolicyNever, program("probe"))}
	return env.Client.CoreV1().Pods(namespace).Create(t.Context(), pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
}

// Only events tell of these.
func TestAPullWhosePodCannotBeCreatedOrStartedSaysWhy(t *testing.T) {
	t.Parallel()
	quota := func(t *testing.T, namespace string) {
		quotas := env.Client.CoreV1().ResourceQuotas(namespace)
		_, err := quotas.Create(t.Context(), &corev1.ResourceQuota{
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
	}
	limits := func(t *testing.T, namespace string) {
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
	}
	withoutKey := func(t *testing.T, namespace string) {
		_, err := env.Client.CoreV1().Secrets(namespace).Create(t.Context(), &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: "logins"}, Data: map[string][]byte{"other": nil},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
	const why = "pods are made by hand here"
	policy := func(t *testing.T, namespace string) {
		deny(t, namespace, podKind, admissionv1.Create, "", why)
		eventually(t, "the API server heeds the policy", func() bool {
			_, err := dryRunPod(t, namespace, "probe")
			return err != nil
		})
	}
	for name, c := range map[string]struct {
		prepare       func(t *testing.T, namespace string)
		flag          string
		reason, words string
	}{
		"ResourceQuota":  {quota, "--max-parallel=1", "QUOTA", "exceeded quota: team"},
		"LimitRange":     {limits, "--max-parallel=1", "REFUSED", "maximum memory usage per Container is 64Mi"},
		"policy":         {policy, "--max-parallel=1", "REFUSED", why},
		"missing secret": {nil, "--registry-secret=logins", "VOLUME", `secret "logins" not found`},
		"missing key":    {withoutKey, "--registry-secret=logins", "VOLUME", ".dockerconfigjson"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			namespace := newNamespace(t)
			if c.prepare != nil {
				c.prepare(t, namespace)
			}
			s := startServer(t, namespace, c.flag, "--pull-deadline=30s")
			updates := s.updates(t, s.startOne(t, env.app).ID)
			updates.until(t, "says why", func(p pullJob) bool { return p.is("PENDING") && strings.Contains(p.Message, c.words) })
			all := updates.rest(t)
			checkFailure(t, all[len(all)-1], c.reason, "Never started within its deadline of 30s", c.words)
		})
	}
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
