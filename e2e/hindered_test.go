package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// probeJob is a suspended Job with which a test finds out whether a policy is heeded.
func probeJob(t *testing.T, namespace, name string) {
	t.Helper()
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: batchv1.JobSpec{Suspend: new(true)}}
	job.Spec.Template.Spec = corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "probe", Image: env.app}},
	}
	if _, err := env.Client.BatchV1().Jobs(namespace).Create(t.Context(), job, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func patchJob(t *testing.T, namespace, name, patch string, options metav1.PatchOptions) (*batchv1.Job, error) {
	t.Helper()
	return env.Client.BatchV1().Jobs(namespace).Patch(t.Context(), name, types.MergePatchType, []byte(patch), options)
}

var dryRun = metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}}

func TestAPullWhoseJobCannotBeChangedKeepsNoOtherWaiting(t *testing.T) {
	t.Parallel()
	source := newSource(t)
	frozen, _ := source.image(t, "frozen:1", 1000, 1)
	first, _ := source.image(t, "app:1", 1000, 1)
	second, _ := source.image(t, "app:2", 1000, 1)
	namespace := newNamespace(t)
	probeJob(t, namespace, "frozen-probe")
	const why = "this image is on the deny list"
	deny(t, namespace, jobKind, admissionv1.Update, "frozen-", why)
	eventually(t, "the API server heeds the policy", func() bool {
		_, err := patchJob(t, namespace, "frozen-probe", `{"metadata":{"labels":{"a":"b"}}}`, dryRun)
		return err != nil
	})
	s := startServer(t, namespace, append(insecure(source.host), "--max-parallel=1")...)
	pulls := s.startAll(t, frozen, first, second)
	for _, p := range pulls[1:] {
		if last := s.outcome(t, p.ID); !last.is("SUCCEEDED") {
			t.Errorf("another pull: %+v", last)
		}
	}
	if p := s.pull(t, pulls[0].ID); !p.is("QUEUED") || !strings.Contains(p.Message, why) {
		t.Errorf("it does not say why it waits: %s %s", p.Phase, p.Message)
	}
	if p, err := s.cancel(t, pulls[0].ID); err != nil || !p.is("CANCELED") {
		t.Errorf("it cannot be canceled: %+v, %v", p, err)
	}
	checkGone(t, namespace, pulls[0].ID)
}

func TestAJobThatSomethingElseSuspendsIsStartedLessAndLessOften(t *testing.T) {
	t.Parallel()
	source := newSource(t)
	image, digest := source.image(t, "app:1", 1000, 1)
	namespace := newNamespace(t)
	probeJob(t, namespace, "probe")
	allow := change(t, env.Client, namespace, jobKind, admissionv1.Update, merged(`Object{spec: Object.spec{suspend: true}}`))
	suspends := func() bool {
		job, err := patchJob(t, namespace, "probe", `{"spec":{"suspend":false}}`, dryRun)
		if err != nil {
			t.Fatal(err)
		}
		return *job.Spec.Suspend
	}
	eventually(t, "the API server heeds the policy", suspends)
	s := startServer(t, namespace, insecure(source.host)...)
	id := s.startOne(t, image).ID
	eventually(t, "it says why it waits", func() bool {
		p := s.pull(t, id)
		return p.is("QUEUED") && strings.Contains(p.Message, "Something else in the cluster suspends this Job")
	})
	changes, err := env.Client.BatchV1().Jobs(namespace).Watch(t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=" + id})
	if err != nil {
		t.Fatal(err)
	}
	pause(t, 5*time.Second)
	changes.Stop()
	n := 0
	for range changes.ResultChan() {
		n++
	}
	if n > 5 { // its present state is one of them
		t.Errorf("the Job was changed %d times in 5 s", n)
	}
	allow()
	eventually(t, "the API server forgets the policy", func() bool { return !suspends() })
	checkCopied(t, s.outcome(t, id), digest)
}

func TestACanceledPullStopsThoughItsJobCannotBeDeleted(t *testing.T) {
	t.Parallel()
	source := newSource(t)
	copying, _ := source.image(t, "kept:1", 3_000_000, 3)
	next, digest := source.image(t, "app:1", 1000, 1)
	gate := source.hold(t, 1_000_000)
	namespace := newNamespace(t)
	probeJob(t, namespace, "kept-probe")
	allow := deny(t, namespace, jobKind, admissionv1.Delete, "kept-", "Jobs are kept for the auditors")
	eventually(t, "the API server heeds the policy", func() bool {
		return env.Client.BatchV1().Jobs(namespace).Delete(t.Context(), "kept-probe", metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}}) != nil
	})
	s := startServer(t, namespace, append(insecure(source.host), "--max-parallel=1")...)
	first := s.startOne(t, copying)
	s.updates(t, first.ID).until(t, "is copying", func(p pullJob) bool { return p.is("PULLING") && p.Progress.Percent > 0 })
	second := s.startOne(t, next)
	if p, err := s.cancel(t, first.ID); err != nil || !p.is("CANCELED") || !strings.Contains(p.Message, "told to stop") {
		t.Fatalf("%+v, %v", p, err)
	}
	eventually(t, "its pod is gone", func() bool { return len(podsOf(t, namespace, first.ID)) == 0 })
	gate.release()
	checkCopied(t, s.outcome(t, second.ID), digest)
	job, err := env.Client.BatchV1().Jobs(namespace).Get(t.Context(), first.ID, metav1.GetOptions{})
	if err != nil || !*job.Spec.Suspend {
		t.Errorf("the Job stays suspended: %v", err)
	}
	allow()
	checkGone(t, namespace, first.ID)
}

func podsOf(t *testing.T, namespace, job string) []corev1.Pod {
	t.Helper()
	pods, err := env.Client.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: batchv1.JobNameLabel + "=" + job})
	if err != nil {
		t.Fatal(err)
	}
	return pods.Items
}

func TestAPullEndsThoughAFinalizerKeepsItsDeletedJob(t *testing.T) {
	t.Parallel()
	source := newSource(t)
	copying, _ := source.image(t, "kept:1", 3_000_000, 3)
	next, digest := source.image(t, "app:1", 1000, 1)
	gate := source.hold(t, 1_000_000)
	namespace := newNamespace(t)
	s := startServer(t, namespace, append(insecure(source.host), "--max-parallel=1")...)
	first := s.startOne(t, copying)
	updates := s.updates(t, first.ID)
	updates.until(t, "is copying", func(p pullJob) bool { return p.is("PULLING") && p.Progress.Percent > 0 })
	second := s.startOne(t, next)
	if _, err := patchJob(t, namespace, first.ID, `{"metadata":{"finalizers":["example.com/audit"]}}`, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	release := removed(t, "finalizer", func(ctx context.Context) error {
		_, err := env.Client.BatchV1().Jobs(namespace).Patch(ctx, first.ID, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
		return err
	})
	background := metav1.DeletePropagationBackground
	if err := env.Client.BatchV1().Jobs(namespace).Delete(t.Context(), first.ID, metav1.DeleteOptions{PropagationPolicy: &background}); err != nil {
		t.Fatal(err)
	}
	updates.until(t, "says that its Job was deleted", func(p pullJob) bool { return strings.Contains(p.Message, "Its Job was deleted") })
	for _, pod := range podsOf(t, namespace, first.ID) {
		if err := env.Client.CoreV1().Pods(namespace).Delete(t.Context(), pod.Name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	all := updates.rest(t)
	if last := all[len(all)-1]; !last.is("FAILED") || last.Failure.Reason != "LOST" || !strings.Contains(last.Message, "example.com/audit") {
		t.Errorf("%+v %+v", last, last.Failure)
	}
	gate.release()
	checkCopied(t, s.outcome(t, second.ID), digest)
	release()
}

func TestACopierThatTheKubeletEvictsSaysSo(t *testing.T) {
	t.Parallel()
	source := newSource(t)
	image, _ := source.image(t, "app:1", 3_000_000, 3)
	source.hold(t, 1_000_000)
	template := jobTemplate(t, `spec: {template: {spec: {containers: [{name: copier, resources: {limits: {ephemeral-storage: "1"}}}]}}}`)
	s := startServer(t, newNamespace(t), append(insecure(source.host), template)...)
	s.updates(t, s.startOne(t, image).ID).until(t, "says why its copier was stopped", func(p pullJob) bool {
		return p.is("RETRYING") && strings.Contains(p.Message, "Kubernetes stopped the copier: (Evicted)") && strings.Contains(p.Message, "ephemeral")
	})
}

// A Node without a kubelet is one that has stopped answering.
func TestAPullOnALostNodeSaysSoAndFreesItsSlot(t *testing.T) {
	t.Parallel()
	source := newSource(t)
	image, _ := source.image(t, "app:1", 1000, 1)
	next, _ := source.image(t, "app:2", 1000, 1)
	namespace := newNamespace(t)
	nodes, now := env.Client.CoreV1().Nodes(), metav1.Now()
	_, err := nodes.Create(t.Context(), &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: namespace, Labels: map[string]string{"e2e": namespace}},
		Spec:       corev1.NodeSpec{Taints: []corev1.Taint{{Key: "e2e", Value: namespace, Effect: corev1.TaintEffectNoSchedule}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	removed(t, "node", func(ctx context.Context) error {
		err := env.Client.CoreV1().Pods(namespace).DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}, metav1.ListOptions{})
		if err == nil {
			err = nodes.Delete(ctx, namespace, metav1.DeleteOptions{})
		}
		return err
	})
	eventually(t, "the node is ready", func() bool {
		node, err := nodes.Get(t.Context(), namespace, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		node.Status.Allocatable = corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourceMemory: resource.MustParse("4Gi"), corev1.ResourcePods: resource.MustParse("9"),
		}
		node.Status.Capacity = node.Status.Allocatable
		node.Status.Conditions = []corev1.NodeCondition{{
			Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "Test", LastHeartbeatTime: now, LastTransitionTime: now,
		}}
		_, err = nodes.UpdateStatus(t.Context(), node, metav1.UpdateOptions{})
		return err == nil // a controller may have changed it meanwhile
	})
	template := jobTemplate(t, fmt.Sprintf(`spec: {template: {spec: {nodeSelector: {e2e: %s}, tolerations: [{operator: Exists}]}}}`, namespace))
	s := startServer(t, namespace, append(insecure(source.host), "--max-parallel=1", template, "--pull-deadline=20s")...)
	first, second := s.startOne(t, image), s.startOne(t, next)
	updates := s.updates(t, first.ID)
	eventually(t, "its pod runs on the node", func() bool {
		pods := podsOf(t, namespace, first.ID)
		if len(pods) != 1 || pods[0].Spec.NodeName != namespace {
			return false
		}
		status := &pods[0].Status
		status.Phase, status.StartTime = corev1.PodRunning, &now
		status.ContainerStatuses = []corev1.ContainerStatus{{
			Name: "copier", Image: "x", ImageID: "x", Ready: true, Started: new(true),
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}},
		}}
		status.Conditions = append(status.Conditions, corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue})
		_, err := env.Client.CoreV1().Pods(namespace).UpdateStatus(t.Context(), &pods[0], metav1.UpdateOptions{})
		return err == nil
	})
	updates.until(t, "is past its deadline", func(p pullJob) bool {
		return strings.Contains(p.Message, "Failed, ending: Did not finish within its deadline of 20s.")
	})
	updates.until(t, "says that its node is lost", func(p pullJob) bool { return strings.Contains(p.Message, "does not answer") })
	s.updates(t, second.ID).until(t, "has its slot", func(p pullJob) bool { return !p.is("QUEUED") })
}
