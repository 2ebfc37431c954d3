package podlogs

import (
	"net/http"
	"slices"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pullwatch/internal/podlog"
)

// Such a pod is quarantined: its labels are changed, and it writes on.
func TestALogEndsWhenItsPodIsOfTheTargetNoLonger(t *testing.T) {
	const noMatch, noJob = "ENDED web: its pod does not match app=web any more", "ENDED web: its pod does not belong to job copy any more"
	for _, c := range []struct {
		name   string
		target podlog.Input
		leave  func(api *logAPI, pod *corev1.Pod)
		ended  string
	}{
		{"its label changes", podlog.Input{Selector: new("app=web")}, func(api *logAPI, pod *corev1.Pod) {
			pod.Labels = map[string]string{"app": "quarantine"}
			api.put(pod)
		}, noMatch},
		{"its label changes while the watch is broken", podlog.Input{Selector: new("app=web")}, func(api *logAPI, pod *corev1.Pod) {
			pod.Labels = map[string]string{"app": "quarantine"}
			api.cutWatches(true)
			api.put(pod)
			api.cutWatches(true)
		}, noMatch},
		{"its label for the Job changes", podlog.Input{Job: new("copy")}, func(api *logAPI, pod *corev1.Pod) {
			pod.Labels = nil
			api.put(pod)
		}, noJob},
		{"it is orphaned", podlog.Input{Job: new("copy")}, func(api *logAPI, pod *corev1.Pod) {
			pod.OwnerReferences = nil
			api.put(pod)
		}, noJob},
	} {
		t.Run(c.name, func(t *testing.T) {
			api := newLogAPI(t)
			api.log = func(w http.ResponseWriter, r *http.Request) {
				write(w, stamped(0, "a"))
				if r.URL.Query().Get("follow") == "true" {
					<-r.Context().Done()
					return
				}
				write(w, stamped(1, "b"))
			}
			api.put(&batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "copy", Namespace: "default", UID: "job"}})
			pod := logTestPod("web", corev1.PodRunning, runningState("1"))
			pod.Labels = map[string]string{"app": "web", batchv1.JobNameLabel: "copy"}
			pod.OwnerReferences = []metav1.OwnerReference{{Kind: "Job", Name: "copy", UID: "job", Controller: new(true)}}
			api.put(pod)
			c.target.Follow = true
			r := openStream(t, api, c.target)
			r.await("web: a")
			c.leave(api, pod)
			r.await(c.ended)
			if want := []string{"STARTED web: log opened", "web: a", "web: b", c.ended}; !slices.Equal(r.text, want) {
				t.Errorf("got %q, want %q", r.text, want)
			}
		})
	}
}

// It writes its last words after it was deleted from the API server.
func TestALogIsReadToItsEndWhenItsPodIsDeletedAtOnce(t *testing.T) {
	api := newLogAPI(t)
	deleted := make(chan struct{})
	api.log = func(w http.ResponseWriter, r *http.Request) {
		write(w, stamped(0, "a"))
		<-deleted
		write(w, stamped(1, "last words"))
	}
	pod := logTestPod("web", corev1.PodRunning, runningState("1"))
	api.put(pod)
	looked := make(chan struct{}, 1)
	api.refuse = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Get("fieldSelector") == "metadata.name=web" {
			looked <- struct{}{}
		}
		return false
	}
	r := openStream(t, api, podlog.Input{Selector: new("app=web"), Follow: true})
	r.await("web: a")
	api.remove(pod)
	<-looked
	close(deleted)
	r.await("ENDED web: its pod was deleted")
	if !slices.Contains(r.text, "web: last words") {
		t.Errorf("got %q", r.text)
	}
}
