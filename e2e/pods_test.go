package e2e

import (
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// program is a container that runs lab/app.go with these arguments.
func program(name string, args ...string) corev1.Container {
	return corev1.Container{Name: name, Image: env.app, Args: args}
}

func podSpec(restart corev1.RestartPolicy, containers ...corev1.Container) corev1.PodSpec {
	return corev1.PodSpec{
		RestartPolicy: restart, Containers: containers,
		AutomountServiceAccountToken: new(false), TerminationGracePeriodSeconds: new(int64(0)),
	}
}

func createJob(t *testing.T, namespace, name string, spec corev1.PodSpec) {
	t.Helper()
	_, err := env.Client.BatchV1().Jobs(namespace).Create(t.Context(), &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: spec}, BackoffLimit: new(int32(0))},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

func createPod(t *testing.T, namespace, name string, labels map[string]string, spec corev1.PodSpec) {
	t.Helper()
	_, err := env.Client.CoreV1().Pods(namespace).Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Spec: spec,
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// waitForPod waits until a pod is as wanted.
func waitForPod(t *testing.T, namespace, name, wanted string, is func(*corev1.Pod) bool) *corev1.Pod {
	t.Helper()
	var pod *corev1.Pod
	eventually(t, "pod "+name+" "+wanted, func() bool {
		var err error
		if pod, err = env.Client.CoreV1().Pods(namespace).Get(t.Context(), name, metav1.GetOptions{}); err != nil {
			t.Fatal(err)
		}
		return is(pod)
	})
	return pod
}

func hasSucceeded(pod *corev1.Pod) bool { return pod.Status.Phase == corev1.PodSucceeded }
