package podlogs

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pullwatch/internal/podlog"
)

// watchPods returns the snapshots of a watch that ends with the test. It closes the channel if the watch ends by itself.
func watchPods(t *testing.T, api *logAPI, target podlog.Target) <-chan podlog.Snapshot {
	t.Helper()
	target.Namespace = "default"
	snapshots := make(chan podlog.Snapshot)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer close(snapshots)
		New(api.client).WatchPods(ctx, target, func(s podlog.Snapshot) {
			select {
			case snapshots <- s:
			case <-ctx.Done():
			}
		})
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return snapshots
}

// isLookup reports whether a request looks for the pod web by its name.
func isLookup(r *http.Request) bool { return r.URL.Query().Get("fieldSelector") == "metadata.name=web" }

// fate says what a snapshot tells of a pod.
func fate(s podlog.Snapshot, uid string) string {
	switch {
	case slices.ContainsFunc(s.Pods, func(p podlog.Pod) bool { return p.UID == uid }):
		return "there"
	case slices.Contains(s.Left, uid):
		return "left"
	default:
		return "deleted"
	}
}

// A watch says the same of a pod that was deleted and of one whose labels have changed. Until it is known which, the pod stays.
func TestAPodThatIsMissingIsToldOnceItIsKnownWhy(t *testing.T) {
	quarantine := func(api *logAPI, pod *corev1.Pod) {
		pod.Labels = map[string]string{"app": "quarantine"}
		api.put(pod)
	}
	unanswered := func(w http.ResponseWriter) {
		writeStatus(w, http.StatusGatewayTimeout, metav1.StatusReasonTimeout, "Too large resource version: 7, current: 6")
	}
	for _, test := range []struct {
		name string
		pod  *corev1.Pod
		miss func(api *logAPI, pod *corev1.Pod)
		// fails is how many times nobody answers where the pod is.
		fails int64
		want  string
	}{
		{"labels", logTestPod("web", corev1.PodRunning, runningState("1")), quarantine, 0, "left"},
		{"labels, while nobody answers", logTestPod("web", corev1.PodRunning, runningState("1")), quarantine, 3, "left"},
		{"labels, of a pod that has finished", completedPod("web"), quarantine, 0, "left"},
		{"labels, while the watch is broken", logTestPod("web", corev1.PodRunning, runningState("1")), func(api *logAPI, pod *corev1.Pod) {
			api.cutWatches(true)
			quarantine(api, pod)
			api.cutWatches(true)
		}, 1, "left"},
		{"deleted", logTestPod("web", corev1.PodRunning, runningState("1")), func(api *logAPI, pod *corev1.Pod) { api.remove(pod) }, 0, "deleted"},
		{"deleted, while nobody answers", logTestPod("web", corev1.PodRunning, runningState("1")),
			func(api *logAPI, pod *corev1.Pod) { api.remove(pod) }, 3, "deleted"},
		{"replaced, while nobody answers", logTestPod("web", corev1.PodRunning, runningState("1")), func(api *logAPI, pod *corev1.Pod) {
			api.remove(pod)
			next := logTestPod("web", corev1.PodRunning, runningState("2"))
			next.UID = "next"
			api.put(next)
		}, 1 << 40, "deleted"},
		{"replaced while the watch is broken and nobody answers", logTestPod("web", corev1.PodRunning, runningState("1")), func(api *logAPI, pod *corev1.Pod) {
			api.cutWatches(true)
			api.remove(pod)
			next := logTestPod("web", corev1.PodRunning, runningState("2"))
			next.UID = "next"
			api.put(next)
			api.cutWatches(true)
		}, 1 << 40, "deleted"},
	} {
		t.Run(test.name, func(t *testing.T) {
			api := newLogAPI(t)
			var lookups atomic.Int64
			api.refuse = func(w http.ResponseWriter, r *http.Request) bool {
				if !isLookup(r) || lookups.Add(1) > test.fails {
					return false
				}
				unanswered(w)
				return true
			}
			api.put(test.pod)
			snapshots := watchPods(t, api, podlog.Target{Selector: "app=web"})
			if got := fate(<-snapshots, "uid-web"); got != "there" {
				t.Fatalf("it is %s at first", got)
			}
			test.miss(api, test.pod)
			for {
				switch got := fate(<-snapshots, "uid-web"); got {
				case test.want:
					return
				case "there":
				default:
					t.Fatalf("it is told as %s after %d questions", got, lookups.Load())
				}
			}
		})
	}
}

// A log that cannot be read now is tried again, whatever happens to the labels of its pod meanwhile.
func TestALogThatCannotBeReadWhenItsPodLeavesIsReadLater(t *testing.T) {
	api := newLogAPI(t)
	var away atomic.Bool
	api.log = func(w http.ResponseWriter, r *http.Request) {
		if away.Load() {
			writeStatus(w, http.StatusInternalServerError, metav1.StatusReasonInternalError, "dial tcp: connection refused")
			return
		}
		write(w, stamped(0, "a"))
		if r.URL.Query().Get("follow") == "true" {
			away.Store(true)
			return
		}
		write(w, stamped(1, "b"))
	}
	pod := logTestPod("web", corev1.PodRunning, runningState("1"))
	api.put(pod)
	r := openStream(t, api, podlog.Input{Selector: new("app=web"), Follow: true})
	r.await("web: a")
	r.await("WAITING web: its log cannot be read now; trying again")
	pod.Labels = map[string]string{"app": "quarantine"}
	api.put(pod)
	away.Store(false)
	ends := func(text string) bool { return strings.HasPrefix(text, "ENDED web") }
	for !slices.ContainsFunc(r.text, ends) {
		r.next()
	}
	if !slices.Contains(r.text, "web: b") || !slices.Contains(r.text, "ENDED web: its pod does not match app=web any more") {
		t.Errorf("got %q", r.text)
	}
}
