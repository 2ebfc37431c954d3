package podlogs

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pullwatch/internal/podlog"
)

// Such a pod is quarantined: its labels are changed, and it writes on.
func TestALogEndsWhenItsPodIsOfTheTargetNoLonger(t *testing.T) {
	const noMatch, noJob = "ENDED web: its pod does not match app=web any more", "ENDED web: its pod does not belong to job copy any more"
	const noDeployment = "ENDED web: its pod does not belong to deployment web any more"
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
		{"its label changes, by which a Deployment selects it", podlog.Input{Workload: new("deployment/web")}, func(api *logAPI, pod *corev1.Pod) {
			pod.Labels = map[string]string{"app": "quarantine"}
			api.put(pod)
		}, noDeployment},
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
			serveWorkloads(api)
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
			// The selector has no other pod.
			r.text = slices.DeleteFunc(r.text, func(text string) bool { return strings.HasPrefix(text, "WAITING stream") })
			if want := []string{"STARTED web: log opened", "web: a", "web: b", c.ended}; !slices.Equal(r.text, want) {
				t.Errorf("got %q, want %q", r.text, want)
			}
		})
	}
}

func TestASelectorThatHasLostItsPodsSaysSoOnce(t *testing.T) {
	const none = "WAITING stream: no pod in namespace default matches app=web any more"
	for _, c := range []struct {
		name      string
		namespace http.HandlerFunc
		told      string
	}{
		{"they were deleted", anyNamespace, none},
		{"nobody may read namespaces", func(w http.ResponseWriter, _ *http.Request) {
			writeStatus(w, http.StatusForbidden, metav1.StatusReasonForbidden, "no")
		}, none},
		{"the namespace is being deleted", func(w http.ResponseWriter, r *http.Request) {
			now := metav1.Now()
			json.NewEncoder(w).Encode(corev1.Namespace{
				TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}, ObjectMeta: metav1.ObjectMeta{Name: "default", DeletionTimestamp: &now},
			})
		}, "WAITING stream: namespace default is being deleted"},
		{"the namespace was deleted", func(w http.ResponseWriter, _ *http.Request) {
			status := newStatus(http.StatusNotFound, metav1.StatusReasonNotFound, "not found")
			status.Details = &metav1.StatusDetails{Kind: "namespaces", Name: "default"}
			w.WriteHeader(http.StatusNotFound)
			json.NewEncoder(w).Encode(status)
		}, "WAITING stream: namespace default does not exist any more"},
	} {
		t.Run(c.name, func(t *testing.T) {
			api := newLogAPI(t)
			asked := false
			api.namespace = func(w http.ResponseWriter, r *http.Request) {
				if !asked { // when the stream begins
					asked = true
					anyNamespace(w, r)
					return
				}
				c.namespace(w, r)
			}
			api.log = func(w http.ResponseWriter, _ *http.Request) { write(w, stamped(0, "a")) }
			r := openStream(t, api, podlog.Input{Selector: new("app=web"), Follow: true})
			// The first pods are those of a Deployment, and the next one comes after a while.
			for _, name := range []string{"web", "web-2"} {
				api.put(logTestPod(name, corev1.PodSucceeded, endedState("1", 0, "Completed")))
			}
			r.await("ENDED web: exit code 0 (Completed)")
			r.await("ENDED web-2: exit code 0 (Completed)")
			for _, name := range []string{"web", "web-2"} {
				api.remove(logTestPod(name, corev1.PodSucceeded, endedState("1", 0, "Completed")))
			}
			r.await(c.told)
			api.put(logTestPod("web-3", corev1.PodSucceeded, endedState("1", 0, "Completed")))
			r.await("ENDED web-3: exit code 0 (Completed)")
			var waits []string
			for _, text := range r.text {
				if strings.HasPrefix(text, "WAITING") {
					waits = append(waits, text)
				}
			}
			if want := []string{"WAITING stream: no pod in namespace default matches app=web", c.told}; !slices.Equal(waits, want) {
				t.Errorf("told %q, want %q", waits, want)
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
