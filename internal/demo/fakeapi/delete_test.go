package fakeapi_test

import (
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func TestDeletingAJobDeletesItsPodsIfAsked(t *testing.T) {
	for policy, podStays := range map[metav1.DeletionPropagation]bool{
		"": true, metav1.DeletePropagationOrphan: true,
		metav1.DeletePropagationBackground: false, metav1.DeletePropagationForeground: false,
	} {
		_, client := newClient(t)
		ctx := t.Context()
		job := mustCreateJob(t, ctx, client, newJob("job"))
		mustCreatePod(t, ctx, client, newPod("job-pod", job))
		mustCreatePod(t, ctx, client, newPod("other", nil))

		wrong := types.UID("wrong")
		jobs := client.BatchV1().Jobs(namespace)
		err := jobs.Delete(ctx, "job", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &wrong}})
		if !apierrors.IsConflict(err) {
			t.Errorf("delete of another UID: %v, want Conflict", err)
		}
		options := metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &job.UID}}
		if policy != "" {
			options.PropagationPolicy = &policy
		}
		if err := jobs.Delete(ctx, "job", options); err != nil {
			t.Fatal(err)
		}
		if _, err := jobs.Get(ctx, "job", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			t.Errorf("%q: Job is still there: %v", policy, err)
		}
		_, err = client.CoreV1().Pods(namespace).Get(ctx, "job-pod", metav1.GetOptions{})
		if stays := err == nil; stays != podStays {
			t.Errorf("%q: pod stays: %v, want %v (%v)", policy, stays, podStays, err)
		}
		if _, err := client.CoreV1().Pods(namespace).Get(ctx, "other", metav1.GetOptions{}); err != nil {
			t.Errorf("%q: pod of nobody: %v", policy, err)
		}
	}
}

func TestFinalizerDelaysDeletion(t *testing.T) {
	_, client := newClient(t)
	ctx := t.Context()
	job := newJob("job")
	job.Finalizers = []string{"example.com/wait"}
	mustCreateJob(t, ctx, client, job)
	jobs := client.BatchV1().Jobs(namespace)
	background := metav1.DeletePropagationBackground
	if err := jobs.Delete(ctx, "job", metav1.DeleteOptions{PropagationPolicy: &background}); err != nil {
		t.Fatal(err)
	}
	marked, err := jobs.Get(ctx, "job", metav1.GetOptions{})
	if err != nil || marked.DeletionTimestamp == nil {
		t.Fatalf("want it marked: %v %+v", err, marked)
	}
	patch := []byte(`{"metadata":{"finalizers":null}}`)
	if _, err := jobs.Patch(ctx, "job", types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := jobs.Get(ctx, "job", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("get: %v, want NotFound", err)
	}
}
