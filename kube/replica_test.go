package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/retry"

	"pullwatch/internal/demo/fakeapi"
	"pullwatch/internal/feed"
	"pullwatch/internal/pull"
	"pullwatch/internal/turns"
	"pullwatch/kube/pullstate/statetest"
)

const testNamespace = "pulls"

// replica is one pullwatch without its front.
type replica struct {
	hub     *feed.Hub
	pulls   *Pulls
	watch   *Watch
	tracker *Tracker
	role    *Role
	client  kubernetes.Interface
	// refuse makes every request fail while it is true.
	refuse *faultyTransport
	stop   func()
}

// faultyTransport is a round tripper that can fail, hang, and cut responses that are being read.
type faultyTransport struct {
	http.RoundTripper
	on    atomic.Bool
	hangs atomic.Bool
	// throttles answers every request with 429 while it is true.
	throttles atomic.Bool

	mu sync.Mutex
	// forbidden reports whether the role of this replica lacks what a request needs; nil for a role that has all.
	forbidden func(verb, resource string) bool
	// asked counts requests by verb and resource.
	asked  map[string]int
	bodies []io.Closer
}

// cut breaks every response that is still being read.
func (r *faultyTransport) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, body := range r.bodies {
		body.Close()
	}
	r.bodies = nil
}

func (r *faultyTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if r.on.Load() {
		return nil, errors.New("connection refused")
	}
	if r.hangs.Load() {
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	if r.throttles.Load() {
		return &http.Response{
			StatusCode: http.StatusTooManyRequests, Status: "429 Too Many Requests", Request: req, Header: http.Header{"Retry-After": {"4"}}, Body: http.NoBody,
		}, nil
	}
	verb, resource := verbOf(req)
	if r.refuses(verb, resource) {
		return refusal(req, verb, resource), nil
	}
	response, err := r.RoundTripper.RoundTrip(req)
	if err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.bodies = append(r.bodies, response.Body)
	}
	return response, err
}

// forbid takes rights away from this replica, or gives it all with nil.
func (r *faultyTransport) forbid(forbidden func(verb, resource string) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forbidden = forbidden
}

func (r *faultyTransport) refuses(verb, resource string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.asked == nil {
		r.asked = map[string]int{}
	}
	r.asked[verb+" "+resource]++
	return r.forbidden != nil && r.forbidden(verb, resource)
}

// count returns how many requests of a kind there were.
func (r *faultyTransport) count(verb, resource string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked[verb+" "+resource]
}

// verbOf returns the verb and the resource that a role has to allow for a request.
func verbOf(req *http.Request) (verb, resource string) {
	_, rest, _ := strings.Cut(req.URL.Path, "/namespaces/")
	parts := strings.Split(rest, "/") // namespace, resource, name, subresource
	if len(parts) < 2 {
		return "", ""
	}
	named := len(parts) > 2
	switch verb = map[string]string{http.MethodPost: "create", http.MethodPut: "update", http.MethodPatch: "patch", http.MethodDelete: "delete"}[req.Method]; {
	case verb != "":
	case req.URL.Query().Get("watch") != "":
		verb = "watch"
	case named:
		verb = "get"
	default:
		verb = "list"
	}
	if len(parts) > 3 {
		return verb, parts[1] + "/" + parts[3]
	}
	return verb, parts[1]
}

// refusal is what the API server answers when the role does not allow a request.
func refusal(req *http.Request, verb, resource string) *http.Response {
	status := apierrors.NewForbidden(schema.GroupResource{Resource: resource}, "", fmt.Errorf("User %q cannot %s resource %q", "pullwatch", verb, resource)).Status()
	status.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
	body, _ := json.Marshal(status)
	return &http.Response{
		StatusCode: http.StatusForbidden, Status: "403 Forbidden", Request: req, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
	}
}

// newReplica returns a replica with a feed of its own that watches for itself.
func newReplica(t *testing.T, api *fakeapi.Server, name string, maxParallel int) *replica {
	t.Helper()
	r := newReplicaOf(t, api, feed.New(name))
	r.watch.Demand()
	r.run(t, NewLeader(r.leaderOptions(name, maxParallel, nil)))
	if err := r.watch.AwaitSync(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

var quiet = slog.New(slog.DiscardHandler)

// newReplicaOf returns a replica with the feed hub, which does nothing until run is called.
func newReplicaOf(t *testing.T, api *fakeapi.Server, hub *feed.Hub) *replica {
	t.Helper()
	config := api.Config()
	r := &replica{hub: hub, role: &Role{}, refuse: &faultyTransport{RoundTripper: config.Transport}}
	config.Transport = r.refuse
	health, err := NewHealth(config, quiet)
	if err != nil {
		t.Fatal(err)
	}
	if r.client, err = kubernetes.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	r.tracker = NewTracker(r.hub, quiet)
	r.watch = NewWatch(r.client, testNamespace, r.tracker, r.role, quiet)
	r.pulls, err = NewPulls(PullsOptions{Client: r.client, Jobs: JobSettings{
		Namespace: testNamespace, CopierImage: "pullwatch:test", Deadline: time.Minute, HistoryTTL: time.Hour,
	}, Destination: "harbor.example/mirror", MaxQueued: 1000, Turns: turns.New(1), Known: r.hub, Tracker: r.tracker, Role: r.role, Health: health, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// leaderOptions returns those of a Leader of the replica.
func (r *replica) leaderOptions(identity string, maxParallel int, succession Succession) LeaderOptions {
	return LeaderOptions{
		Client: r.client, Leases: r.client.CoordinationV1(), Namespace: testNamespace, Identity: identity,
		MaxParallel: maxParallel, Away: r.pulls.health.Away, Watch: r.watch, Role: r.role, Succession: succession, Log: quiet,
	}
}

// run runs the replica's parts, and its leader unless that is nil, until the replica is stopped.
func (r *replica) run(t *testing.T, leader *Leader) {
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	if leader != nil {
		wg.Go(func() { _ = leader.Run(ctx) })
	}
	wg.Go(func() { _ = r.watch.Run(ctx) })
	wg.Go(func() { _ = NewCopierLogs(r.client, r.tracker, quiet).Run(ctx) })
	r.stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	t.Cleanup(r.stop)
}

func newAPI(t *testing.T) *fakeapi.Server {
	api := fakeapi.New()
	t.Cleanup(api.Close)
	return api
}

func (r *replica) start(t *testing.T, images ...string) []*pull.State {
	t.Helper()
	results, err := r.pulls.Start(t.Context(), pull.StartRequest{Images: images})
	if err != nil {
		t.Fatal(err)
	}
	var jobs []*pull.State
	for _, result := range results {
		if result.Error != nil {
			t.Fatalf("%s: %v", result.Image, result.Error)
		}
		jobs = append(jobs, result.Pull)
	}
	return jobs
}

// await returns the first state of a pull that fits.
func (r *replica) await(t *testing.T, id string, fits func(*pull.State) bool) *pull.State {
	t.Helper()
	changed, unsubscribe := r.hub.Changed()
	defer unsubscribe()
	for r.hub.Latest(id) == nil { // another replica may have started it
		select {
		case <-changed:
		case <-t.Context().Done():
			t.Fatalf("%s: never known", id)
		}
	}
	updates, err := r.hub.Subscribe([]string{id}, pull.Position{})
	if err != nil {
		t.Fatal(err)
	}
	defer updates.Close()
	for {
		state, err := updates.Await(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", id, err)
		}
		if fits(state) {
			return state
		}
	}
}

func phase(p pull.Phase) func(*pull.State) bool {
	return func(state *pull.State) bool { return state.Phase == p }
}

// runPod plays the Job controller and a kubelet: it makes a pod of the Job in that state.
func (r *replica) runPod(t *testing.T, job string, phase corev1.PodPhase, state corev1.ContainerState) *corev1.Pod {
	t.Helper()
	owner, err := r.client.BatchV1().Jobs(testNamespace).Get(t.Context(), job, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: job + "-", Labels: map[string]string{labelManagedBy: managedBy}},
		Spec:       corev1.PodSpec{NodeName: "node", Containers: []corev1.Container{{Name: pull.ContainerName, Image: "x"}}},
	}
	statetest.OwnPod(pod, owner)
	pod, err = r.client.CoreV1().Pods(testNamespace).Create(t.Context(), pod, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return r.setPod(t, pod, phase, state)
}

func (r *replica) setPod(t *testing.T, pod *corev1.Pod, phase corev1.PodPhase, state corev1.ContainerState) *corev1.Pod {
	t.Helper()
	pod = pod.DeepCopy()
	pod.Status.Phase = phase
	id := "test://" + pod.Name
	if state.Terminated != nil {
		state.Terminated.ContainerID = id
	}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: pull.ContainerName, State: state, ContainerID: id}}
	pod, err := r.client.CoreV1().Pods(testNamespace).UpdateStatus(t.Context(), pod, metav1.UpdateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return pod
}

// report plays a copier that has come that far; the log is closed with the test.
func report(t *testing.T, api *fakeapi.Server, pod *corev1.Pod, done, total int64) {
	t.Helper()
	log := api.OpenLog("test://" + pod.Name)
	t.Cleanup(func() { log.Close() })
	fmt.Fprintln(log, pull.Report{
		Time: statetest.Epoch.Add(time.Minute), Message: "Copying", BytesDone: done, BytesTotal: &total, BytesPerSecond: 5,
	})
}

// finish plays the Job controller: it gives the Job its final condition.
func (r *replica) finish(t *testing.T, id string, kind batchv1.JobConditionType, reason string) {
	t.Helper()
	jobs := r.client.BatchV1().Jobs(testNamespace)
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		job, err := jobs.Get(t.Context(), id, metav1.GetOptions{})
		if err != nil {
			return err
		}
		job.Status.Conditions = append(job.Status.Conditions, batchv1.JobCondition{
			Type: kind, Status: corev1.ConditionTrue, Reason: reason, LastTransitionTime: metav1.Now(),
		})
		_, err = jobs.UpdateStatus(t.Context(), job, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
