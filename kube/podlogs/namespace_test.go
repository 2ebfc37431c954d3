package podlogs

import (
	"encoding/json"
	"net/http"
	"path"
	"strings"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pullwatch/internal/podlog"
	"pullwatch/internal/usererr"
)

// noNamespace answers that the namespace does not exist.
func noNamespace(w http.ResponseWriter, r *http.Request) {
	status := apierrors.NewNotFound(corev1.Resource("namespaces"), path.Base(r.URL.Path)).ErrStatus
	status.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
	w.WriteHeader(http.StatusNotFound)
	json.NewEncoder(w).Encode(status)
}

// Every kind of target fails at once, instead of waiting for pods.
func TestLogsOfAMissingNamespaceAreNotFound(t *testing.T) {
	for name, in := range map[string]podlog.Input{
		"pod":      {Pod: new("web")},
		"job":      {Job: new("copy")},
		"selector": {Selector: new("app=web")},
	} {
		t.Run(name, func(t *testing.T) {
			api := newLogAPI(t)
			api.namespace = noNamespace
			in.Namespace, in.Follow = "nope", true
			_, err := newStreamer(api).Stream(t.Context(), in)
			if usererr.CodeOf(err) != usererr.NotFound || !strings.Contains(err.Error(), "there is no namespace nope") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestLogsBeginWhenNobodyCanSayWhetherTheNamespaceExists(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"exists": anyNamespace,
		"forbidden": func(w http.ResponseWriter, _ *http.Request) {
			writeStatus(w, http.StatusForbidden, metav1.StatusReasonForbidden, "no")
		},
		"failure": func(w http.ResponseWriter, _ *http.Request) {
			writeStatus(w, http.StatusInternalServerError, metav1.StatusReasonInternalError, "no")
		},
		"no answer":     func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"404 of no API": func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) },
		"404 of another thing": func(w http.ResponseWriter, _ *http.Request) {
			writeStatus(w, http.StatusNotFound, metav1.StatusReasonNotFound, "the server could not find the requested resource")
		},
	} {
		t.Run(name, func(t *testing.T) {
			api := newLogAPI(t)
			api.namespace = answer
			r := openStream(t, api, podlog.Input{Selector: new("app=web"), Follow: true})
			r.await("WAITING stream: no pod in namespace default matches app=web")
		})
	}
}

func TestLogsOfPodsThatExistNeedNoRightsForNamespaces(t *testing.T) {
	api := newLogAPI(t)
	api.log = func(w http.ResponseWriter, _ *http.Request) { write(w, stamped(0, "a")) }
	var asked atomic.Int64
	api.namespace = func(w http.ResponseWriter, r *http.Request) { asked.Add(1); anyNamespace(w, r) }
	pod := logTestPod("web", corev1.PodSucceeded, endedState("1", 0, "Completed"))
	api.put(pod)
	openStream(t, api, podlog.Input{Pod: new("web"), Follow: true}).end("web: a")
	if n := asked.Load(); n != 0 {
		t.Errorf("asked %d times", n)
	}
}
