package e2e

import (
	"fmt"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Pods write a thousand lines a second while the API server cannot be reached, the kubelet is restarted and one of two
// replicas is killed. In the end each client has got what the node's files hold.
func TestNoLogLineIsLostThroughFailures(t *testing.T) {
	const lines, outage = 100_000, 20 * time.Second
	needLab(t)
	namespace := newNamespace(t)
	first := startServer(t, namespace)
	second := startServer(t, namespace)
	pods := createTalkers(t, namespace, "talker", 3, program("main", "log", fmt.Sprint(lines), "1", "60"))

	pod := func(i int) map[string]any { return map[string]any{"namespace": namespace, "pod": pods[i].Name} }
	all := readLogs(t, map[string]any{"namespace": namespace, "job": "talker"}, first, second)
	movers := []*logReader{all, readLogs(t, pod(0), first, second), readLogs(t, pod(0), first, second)}
	readers := append([]*logReader{readLogs(t, pod(1), second), readLogs(t, pod(2), second)}, movers...)
	awaitAll := func(what string, is func(*logReader, transcript) bool) {
		t.Helper()
		for _, r := range readers {
			eventually(t, what, func() bool { return r.over() || is(r, r.transcript()) })
		}
	}
	resumed := func(times int) func(*logReader, transcript) bool {
		return func(r *logReader, l transcript) bool {
			if r == all {
				return len(l.noticed("RESUMED")) >= times*len(pods)
			}
			return len(l.noticed("RESUMED")) >= times
		}
	}

	awaitAll("every client has lines", func(_ *logReader, l transcript) bool { return len(l.lines) > 0 })
	stopAPIServer(t)
	pause(t, outage)
	startAPIServer(t)
	restored := time.Now()
	awaitAll("every log is open again", resumed(1))
	figures.add(t, "API server back, after 20 s, until 5 clients have lines again", "%.1f s", time.Since(restored).Seconds())

	stopped := time.Now()
	restartKubelet(t)
	awaitAll("every log is open again", resumed(2))
	figures.add(t, "stop of the kubelet until 5 clients have lines again", "%.1f s", time.Since(stopped).Seconds())

	first.Kill(t)
	compared := 0
	for _, r := range readers {
		logs := r.whole(t)
		for _, pod := range pods {
			if r != all && r.input["pod"] != pod.Name {
				continue
			}
			want := nodeLog(t, logFiles(t, &pod, "main"))
			if len(want) != lines {
				t.Errorf("the node has %d lines of %s", len(want), pod.Name)
			}
			checkSame(t, logs.of(pod.Name, "main"), want)
			compared += len(want)
		}
		if n := len(logs.noticed("RESUMED")); n == 0 {
			t.Error("a client was not told that its logs broke off")
		}
	}
	for _, r := range movers {
		if r.moves != 1 {
			t.Error("a client of the replica that was killed had come to its end before")
		}
	}
	figures.add(t, "lines compared with the node's files", "%d, none lost, none twice", compared)
}

// createTalkers creates a Job that runs a container in several pods at a time, and returns them.
func createTalkers(t *testing.T, namespace, job string, n int32, container corev1.Container) []corev1.Pod {
	t.Helper()
	spec := podSpec(corev1.RestartPolicyNever, container)
	_, err := env.Client.BatchV1().Jobs(namespace).Create(t.Context(), &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: job},
		Spec: batchv1.JobSpec{
			Parallelism: &n, Completions: &n, BackoffLimit: new(int32(0)), Template: corev1.PodTemplateSpec{Spec: spec},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var pods []corev1.Pod
	eventually(t, "the Job has its pods", func() bool {
		list, err := env.Client.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: batchv1.JobNameLabel + "=" + job})
		if err != nil {
			t.Fatal(err)
		}
		pods = list.Items
		return len(pods) == int(n)
	})
	return pods
}
