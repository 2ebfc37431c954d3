package fakeapi_test

import (
	"context"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"go.uber.org/goleak"

	"pullwatch/internal/demo/fakeapi"
)

const namespace = "pulls"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newClient returns a client of a new server, which is closed at the end of the test.
func newClient(t *testing.T) (*fakeapi.Server, kubernetes.Interface) {
	t.Helper()
	server := fakeapi.New()
	t.Cleanup(server.Close)
	return server, clientOf(t, server.Config())
}

func clientOf(t *testing.T, config *rest.Config) kubernetes.Interface {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func newJob(name string) *batchv1.Job {
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": name}},
		Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever,
			Containers:    []corev1.Container{{Name: "main", Image: "busybox"}},
		}}},
	}
}

func newPod(name string, owner *batchv1.Job) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "busybox"}}},
	}
	if owner != nil {
		controller := metav1.NewControllerRef(owner, batchv1.SchemeGroupVersion.WithKind("Job"))
		pod.OwnerReferences = []metav1.OwnerReference{*controller}
	}
	return pod
}

func mustCreateJob(t *testing.T, ctx context.Context, client kubernetes.Interface, job *batchv1.Job) *batchv1.Job {
	t.Helper()
	created, err := client.BatchV1().Jobs(namespace).Create(ctx, job, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return created
}

func mustCreatePod(t *testing.T, ctx context.Context, client kubernetes.Interface, pod *corev1.Pod) *corev1.Pod {
	t.Helper()
	created, err := client.CoreV1().Pods(namespace).Create(ctx, pod, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return created
}
