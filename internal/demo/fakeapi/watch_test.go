package fakeapi_test

import (
	"context"
	"fmt"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"pullwatch/internal/demo/fakeapi"
)

func openWatch(t *testing.T, client kubernetes.Interface, options metav1.ListOptions) watch.Interface {
	t.Helper()
	w, err := client.BatchV1().Jobs(namespace).Watch(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	return w
}

// expect reads one event and returns its object's version.
func expect(t *testing.T, w watch.Interface, kind watch.EventType, name string) string {
	t.Helper()
	e, ok := <-w.ResultChan()
	if !ok {
		t.Fatalf("the watch has ended, want %s of %s", kind, name)
	}
	obj, err := meta.Accessor(e.Object)
	if err != nil {
		t.Fatalf("%s: %v: %v", e.Type, e.Object, err)
	}
	if e.Type != kind || obj.GetName() != name {
		t.Fatalf("got %s of %q, want %s of %q", e.Type, obj.GetName(), kind, name)
	}
	return obj.GetResourceVersion()
}

func relabel(t *testing.T, client kubernetes.Interface, name, app string) {
	t.Helper()
	patch := fmt.Appendf(nil, `{"metadata":{"labels":{"app":%q}}}`, app)
	_, err := client.BatchV1().Jobs(namespace).Patch(t.Context(), name, types.MergePatchType, patch, metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAResumedWatchMissesNothing(t *testing.T) {
	_, client := newClient(t)
	first := mustCreateJob(t, t.Context(), client, newJob("first"))
	w := openWatch(t, client, metav1.ListOptions{ResourceVersion: first.ResourceVersion})
	mustCreateJob(t, t.Context(), client, newJob("second"))
	version := expect(t, w, watch.Added, "second")
	w.Stop()

	relabel(t, client, "first", "new")
	if err := client.BatchV1().Jobs(namespace).Delete(t.Context(), "second", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w = openWatch(t, client, metav1.ListOptions{ResourceVersion: version})
	before := expect(t, w, watch.Modified, "first")
	if after := expect(t, w, watch.Deleted, "second"); after <= before {
		t.Errorf("deleted at version %s, before that it was %s", after, before)
	}
}

func TestAWatchSeesOnlyWhatItSelects(t *testing.T) {
	_, client := newClient(t)
	w := openWatch(t, client, metav1.ListOptions{LabelSelector: "app=red"})
	mustCreateJob(t, t.Context(), client, newJob("other"))
	mustCreateJob(t, t.Context(), client, newJob("red"))
	expect(t, w, watch.Added, "red")
	relabel(t, client, "other", "red")
	expect(t, w, watch.Added, "other")
	relabel(t, client, "red", "blue")
	expect(t, w, watch.Deleted, "red")
	relabel(t, client, "red", "green")
	if err := client.BatchV1().Jobs(namespace).Delete(t.Context(), "other", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	expect(t, w, watch.Deleted, "other")
}

func TestAWatchTooFarBehindExpires(t *testing.T) {
	server := fakeapi.NewWithWindow(2)
	defer server.Close()
	client := clientOf(t, server.Config())
	for i := range 10 {
		mustCreateJob(t, t.Context(), client, newJob(fmt.Sprintf("job-%d", i)))
	}
	_, err := client.BatchV1().Jobs(namespace).Watch(t.Context(), metav1.ListOptions{ResourceVersion: "1"})
	if !apierrors.IsResourceExpired(err) {
		t.Fatalf("got %v, want Expired", err)
	}
}

func TestAStreamedListEndsWithABookmark(t *testing.T) {
	_, client := newClient(t)
	mustCreateJob(t, t.Context(), client, newJob("a"))
	mustCreateJob(t, t.Context(), client, newJob("b"))
	w := openWatch(t, client, metav1.ListOptions{
		SendInitialEvents: new(true), AllowWatchBookmarks: true,
		ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan,
	})
	expect(t, w, watch.Added, "a")
	version := expect(t, w, watch.Added, "b")
	e := <-w.ResultChan()
	job, ok := e.Object.(*batchv1.Job)
	if !ok || e.Type != watch.Bookmark || job.Annotations[metav1.InitialEventsAnnotationKey] != "true" {
		t.Fatalf("got %v, want the bookmark that ends the list", e)
	}
	if job.ResourceVersion != version {
		t.Errorf("bookmark of version %s, want %s", job.ResourceVersion, version)
	}
	mustCreateJob(t, t.Context(), client, newJob("c"))
	expect(t, w, watch.Added, "c")
}

func TestInformerSeesEverything(t *testing.T) {
	_, client := newClient(t)
	const n = 300
	for i := range n {
		mustCreateJob(t, t.Context(), client, newJob(fmt.Sprintf("early-%d", i)))
	}
	ctx, cancel := context.WithCancel(t.Context())
	factory := informers.NewSharedInformerFactory(client, 0)
	added := make(chan string, 2*n)
	_, err := factory.Batch().V1().Jobs().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) { added <- obj.(*batchv1.Job).Name },
	})
	if err != nil {
		t.Fatal(err)
	}
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	defer cancel()
	for i := range n {
		mustCreateJob(t, t.Context(), client, newJob(fmt.Sprintf("late-%d", i)))
	}
	seen := map[string]bool{}
	for range 2 * n {
		seen[<-added] = true
	}
	if len(seen) != 2*n {
		t.Errorf("saw %d Jobs, want %d", len(seen), 2*n)
	}
}

func TestCloseEndsWatches(t *testing.T) {
	server, client := newClient(t)
	w := openWatch(t, client, metav1.ListOptions{ResourceVersion: "1"})
	server.Close()
	for range w.ResultChan() {
	}
	if _, err := client.CoreV1().Pods(namespace).Create(t.Context(), &corev1.Pod{}, metav1.CreateOptions{}); err == nil {
		t.Error("a closed server answers")
	}
}
