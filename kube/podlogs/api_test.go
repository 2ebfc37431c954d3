package podlogs

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"path"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// logAPI is the part of an API server that logs need: lists and watches of pods and Jobs, and logs that tests script.
type logAPI struct {
	server *httptest.Server
	client kubernetes.Interface
	// refuse may answer a request instead of the server. It returns true when it has.
	refuse func(w http.ResponseWriter, r *http.Request) bool
	// log answers requests for logs.
	log http.HandlerFunc
	// namespace answers requests for a namespace. By default each namespace exists.
	namespace http.HandlerFunc

	mu      sync.Mutex
	history []change
	// forgotten is the version before which the server does not remember changes.
	forgotten int
	// changed is closed and made anew when history grows or watches are cut.
	changed chan struct{}
	// generation counts calls of cutWatches.
	generation int
}

// change is one version of one object. An object exists if its last change is no deletion.
type change struct {
	Type   string         `json:"type"`
	Object map[string]any `json:"object"`
	kind   string
	labels map[string]string
	name   string
}

func newLogAPI(t *testing.T) *logAPI {
	t.Helper()
	ignore := goleak.IgnoreCurrent()
	// Version 0 would stand for any version, so begin with 1.
	api := &logAPI{changed: make(chan struct{}), history: []change{{}}, namespace: anyNamespace}
	api.server = httptest.NewServer(api)
	transport := &http.Transport{}
	client, err := kubernetes.NewForConfigAndClient(&rest.Config{Host: api.server.URL, QPS: -1},
		&http.Client{Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	api.client = client
	t.Cleanup(func() {
		api.server.CloseClientConnections()
		api.server.Close()
		transport.CloseIdleConnections()
		goleak.VerifyNone(t, ignore)
	})
	return api
}

// put stores a new version of a pod or Job.
func (a *logAPI) put(object metav1.Object) { a.store(object, false) }

func (a *logAPI) remove(object metav1.Object) { a.store(object, true) }

func (a *logAPI) store(object metav1.Object, deleted bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	kind := "pods"
	if _, ok := object.(*batchv1.Job); ok {
		kind = "jobs"
	}
	event := "ADDED"
	for _, c := range a.history {
		if c.kind == kind && c.name == object.GetName() {
			event = "MODIFIED"
		}
	}
	if deleted {
		event = "DELETED"
	}
	object.SetResourceVersion(strconv.Itoa(len(a.history) + 1))
	a.history = append(a.history, change{
		Type: event, Object: toMap(object, kind), kind: kind, labels: object.GetLabels(), name: object.GetName(),
	})
	a.wake()
}

func (a *logAPI) wake() {
	close(a.changed)
	a.changed = make(chan struct{})
}

// cutWatches ends all watches. If forget is set, the server then does not remember any version.
func (a *logAPI) cutWatches(forget bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.generation++
	if forget {
		a.forgotten = len(a.history)
	}
	a.wake()
}

func toMap(object any, kind string) map[string]any {
	raw, err := json.Marshal(object)
	if err != nil {
		panic(err)
	}
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		panic(err)
	}
	if kind == "pods" {
		m["apiVersion"], m["kind"] = "v1", "Pod"
	} else {
		m["apiVersion"], m["kind"] = "batch/v1", "Job"
	}
	return m
}

func (a *logAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a.refuse != nil && a.refuse(w, r) {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	parts := strings.Split(r.URL.Path, "/")
	kind := parts[len(parts)-1]
	switch {
	case kind == "log":
		w.Header().Set("Content-Type", "text/plain")
		a.log(w, r)
	case parts[len(parts)-2] == "namespaces":
		a.namespace(w, r)
	case r.URL.Query().Get("watch") == "" || r.URL.Query().Get("watch") == "false":
		a.serveList(w, r, kind)
	default:
		a.serveWatch(w, r, kind)
	}
}

func selected(c change, r *http.Request, kind string) bool {
	selector, err := labels.Parse(r.URL.Query().Get("labelSelector"))
	if err != nil || c.kind != kind || !selector.Matches(labels.Set(c.labels)) {
		return false
	}
	field := r.URL.Query().Get("fieldSelector")
	return field == "" || field == "metadata.name="+c.name
}

func (a *logAPI) serveList(w http.ResponseWriter, r *http.Request, kind string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	last := map[string]change{}
	for _, c := range a.history {
		if c.kind == kind {
			last[c.name] = c
		}
	}
	items := []any{}
	for _, c := range last {
		if c.Type != "DELETED" && selected(c, r, kind) {
			items = append(items, c.Object)
		}
	}
	version := map[string]any{"resourceVersion": strconv.Itoa(len(a.history))}
	if limit, err := strconv.Atoi(r.URL.Query().Get("limit")); err == nil && len(items) > limit {
		items, version["continue"] = items[:limit], "more"
	}
	list := map[string]any{"metadata": version, "items": items, "apiVersion": "v1", "kind": "PodList"}
	if kind == "jobs" {
		list["apiVersion"], list["kind"] = "batch/v1", "JobList"
	}
	json.NewEncoder(w).Encode(list)
}

func (a *logAPI) serveWatch(w http.ResponseWriter, r *http.Request, kind string) {
	from, err := strconv.Atoi(r.URL.Query().Get("resourceVersion"))
	if err != nil {
		writeStatus(w, http.StatusBadRequest, metav1.StatusReasonBadRequest, "no resourceVersion")
		return
	}
	a.mu.Lock()
	generation := a.generation
	a.mu.Unlock()
	w.(http.Flusher).Flush()
	for {
		a.mu.Lock()
		expired, cut := from < a.forgotten, generation != a.generation
		changes := a.changesFor(min(from, len(a.history)), r, kind)
		from = max(from, len(a.history))
		changed := a.changed
		a.mu.Unlock()
		switch {
		case expired:
			status := newStatus(http.StatusGone, metav1.StatusReasonExpired, "too old resource version")
			json.NewEncoder(w).Encode(map[string]any{"type": "ERROR", "object": status})
			return
		case cut:
			return
		}
		for _, c := range changes {
			json.NewEncoder(w).Encode(c)
		}
		w.(http.Flusher).Flush()
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

// changesFor returns what a watch sends of the changes after a version. An object that is not selected any more is sent as
// deleted, as it was before. mu is held.
func (a *logAPI) changesFor(from int, r *http.Request, kind string) (sent []change) {
	last := map[string]change{}
	for i, c := range a.history {
		before, ok := last[c.name]
		left := c.kind == kind && ok && selected(before, r, kind) && before.Type != "DELETED" && !selected(c, r, kind)
		if c.kind == kind {
			last[c.name] = c
		}
		if left {
			c.Type, c.Object = "DELETED", withVersion(before.Object, i+1)
		}
		if i >= from && (left || selected(c, r, kind)) {
			sent = append(sent, c)
		}
	}
	return sent
}

func withVersion(object map[string]any, version int) map[string]any {
	object = maps.Clone(object)
	metadata := maps.Clone(object["metadata"].(map[string]any))
	metadata["resourceVersion"] = strconv.Itoa(version)
	object["metadata"] = metadata
	return object
}

// anyNamespace answers that the namespace exists.
func anyNamespace(w http.ResponseWriter, r *http.Request) {
	json.NewEncoder(w).Encode(corev1.Namespace{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}, ObjectMeta: metav1.ObjectMeta{Name: path.Base(r.URL.Path)},
	})
}

func newStatus(code int, reason metav1.StatusReason, message string) metav1.Status {
	return metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
		Status:   metav1.StatusFailure, Code: int32(code), Reason: reason, Message: message,
	}
}

func writeStatus(w http.ResponseWriter, code int, reason metav1.StatusReason, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(newStatus(code, reason, message))
}

// write sends text at once.
func write(w http.ResponseWriter, text string) {
	fmt.Fprint(w, text)
	w.(http.Flusher).Flush()
}

// cut breaks the connection.
func cut() { panic(http.ErrAbortHandler) }

var logStart = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// stamped is a log line that many milliseconds after a fixed moment.
func stamped(ms int, message string) string {
	return logStart.Add(time.Duration(ms)*time.Millisecond).Format(time.RFC3339Nano) + " " + message + "\n"
}

// logTestPod returns a pod with one container, app, with that status.
func logTestPod(name string, phase corev1.PodPhase, status corev1.ContainerStatus) *corev1.Pod {
	status.Name = "app"
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: "default", UID: types.UID("uid-" + name), Labels: map[string]string{"app": "web"},
		},
		Spec:   corev1.PodSpec{Containers: []corev1.Container{{Name: "app"}}},
		Status: corev1.PodStatus{Phase: phase, ContainerStatuses: []corev1.ContainerStatus{status}},
	}
}

func waitingState(reason, message string) corev1.ContainerStatus {
	return corev1.ContainerStatus{State: corev1.ContainerState{
		Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message},
	}}
}

func runningState(id string) corev1.ContainerStatus {
	return corev1.ContainerStatus{
		ContainerID: id, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
	}
}

func endedState(id string, code int32, reason string) corev1.ContainerStatus {
	ended := &corev1.ContainerStateTerminated{ContainerID: id, ExitCode: code, Reason: reason}
	if id != "" {
		ended.StartedAt = metav1.Unix(1, 0)
	}
	return corev1.ContainerStatus{ContainerID: id, State: corev1.ContainerState{Terminated: ended}}
}
