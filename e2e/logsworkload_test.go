package e2e

import (
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// The pods of a StatefulSet, a DaemonSet and a CronJob come and go while their logs are followed.
func TestLogsFollowThePodsOfAWorkload(t *testing.T) {
	namespace := newNamespace(t)
	s := startServer(t, namespace)
	template := func(app string) (corev1.PodTemplateSpec, *metav1.LabelSelector) {
		labels := map[string]string{"app": app}
		talks := podSpec(corev1.RestartPolicyAlways, program("main", "log", "0", "50", "80"))
		talks.TerminationGracePeriodSeconds = new(int64(30))
		return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: talks}, &metav1.LabelSelector{MatchLabels: labels}
	}
	set, every := &appsv1.StatefulSet{}, &appsv1.DaemonSet{}
	set.Name, set.Spec.Replicas, set.Spec.PodManagementPolicy = "set", new(int32(2)), appsv1.ParallelPodManagement
	set.Spec.Template, set.Spec.Selector = template("set")
	every.Name = "every"
	every.Spec.Template, every.Spec.Selector = template("every")
	tick := &batchv1.CronJob{}
	tick.Name, tick.Spec.Schedule, tick.Spec.Suspend = "tick", "0 0 1 1 *", new(true)
	tick.Spec.JobTemplate.Spec.Template.Spec = podSpec(corev1.RestartPolicyNever, program("main", "log", "20", "0"))
	create := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := env.Client.AppsV1().StatefulSets(namespace).Create(t.Context(), set, metav1.CreateOptions{})
	create(err)
	_, err = env.Client.AppsV1().DaemonSets(namespace).Create(t.Context(), every, metav1.CreateOptions{})
	create(err)
	tick, err = env.Client.BatchV1().CronJobs(namespace).Create(t.Context(), tick, metav1.CreateOptions{})
	create(err)
	// As kubectl create job --from=cronjob/tick does.
	run := func(name string) {
		t.Helper()
		job := &batchv1.Job{Spec: tick.Spec.JobTemplate.Spec}
		job.Name = name
		job.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(tick, batchv1.SchemeGroupVersion.WithKind("CronJob"))}
		_, err := env.Client.BatchV1().Jobs(namespace).Create(t.Context(), job, metav1.CreateOptions{})
		create(err)
	}
	run("first")
	createJob(t, namespace, "other", tick.Spec.JobTemplate.Spec.Template.Spec)

	follow := func(workload string) (await func(string, func(transcript) bool), all *transcript) {
		logs := s.podLogs(t, map[string]any{"namespace": namespace, "workload": workload})
		all = &transcript{}
		return func(what string, is func(transcript) bool) {
			t.Helper()
			logs.until(t, workload+" "+what, func(b logBatch) bool {
				all.add(b)
				return is(*all)
			})
		}, all
	}
	ended := func(l transcript, pod string) bool {
		return slices.ContainsFunc(l.noticed("ENDED"), func(n logNotice) bool { return strings.HasPrefix(text(n.Pod), pod) })
	}
	onSet, ofSet := follow("statefulset/set")
	onEvery, ofEvery := follow("daemonset/every")
	onTick, ofTick := follow("cronjob/tick")
	onTick("brings the end of its Job's pod", func(l transcript) bool { return ended(l, "first-") })
	run("second")
	onSet("brings lines of both pods", func(l transcript) bool { return slices.Equal(l.pods(), []string{"set-0", "set-1"}) })
	onEvery("brings lines of a pod", func(l transcript) bool { return len(l.pods()) > 0 })
	_, err = env.Client.AppsV1().StatefulSets(namespace).Patch(t.Context(), "set", types.MergePatchType, []byte(`{"spec":{"replicas":1}}`), metav1.PatchOptions{})
	create(err)
	onSet("tells that a pod is gone", func(l transcript) bool { return ended(l, "set-1") })
	onTick("brings the end of a later Job's pod", func(l transcript) bool { return ended(l, "second-") })

	for _, pod := range ofTick.pods() {
		if n := len(ofTick.of(pod, "main")); n != 20 || !strings.HasPrefix(pod, "first-") && !strings.HasPrefix(pod, "second-") {
			t.Errorf("the CronJob has %d lines of %s", n, pod)
		}
	}
	for _, l := range []*transcript{ofSet, ofEvery, ofTick} {
		checkNothingMissing(t, *l)
	}
	for _, pod := range ofEvery.pods() {
		if !strings.HasPrefix(pod, "every-") {
			t.Errorf("the DaemonSet has lines of %s", pod)
		}
	}
	if ended(*ofSet, "set-0") {
		t.Errorf("the StatefulSet's notices: %+v", ofSet.notices)
	}
}
