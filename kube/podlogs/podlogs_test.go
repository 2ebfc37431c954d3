package podlogs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/follow"
	"pullwatch/internal/usererr"
)

// logReader reads a stream as text.
type logReader struct {
	t      *testing.T
	stream *follow.Stream
	lines  []podlog.Line
	text   []string
}

func openStream(t *testing.T, api *logAPI, in podlog.Input) *logReader {
	t.Helper()
	in.Namespace = "default"
	stream, err := newStreamer(api).Stream(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stream.Close)
	return &logReader{t: t, stream: stream}
}

// next reads one batch. It returns false at the end of the stream.
func (r *logReader) next() bool {
	r.t.Helper()
	batch, err := r.stream.Next(r.t.Context())
	if errors.Is(err, io.EOF) {
		return false
	}
	if err != nil {
		r.t.Fatal(err)
	}
	for _, n := range batch.Notices {
		who := "stream"
		if n.Pod != nil {
			who = *n.Pod
		}
		r.text = append(r.text, fmt.Sprintf("%s %s: %s", n.Kind, who, n.Message))
	}
	for _, l := range batch.Lines {
		r.text = append(r.text, l.Pod+": "+l.Message)
	}
	r.lines = append(r.lines, batch.Lines...)
	return true
}

// await reads batches until one has text.
func (r *logReader) await(text string) {
	r.t.Helper()
	for !slices.Contains(r.text, text) {
		if !r.next() {
			r.t.Fatalf("the stream ended before %q: %q", text, r.text)
		}
	}
}

// end reads the rest and compares all lines with want.
func (r *logReader) end(want ...string) {
	r.t.Helper()
	for r.next() {
	}
	var got []string
	for _, l := range r.lines {
		got = append(got, l.Pod+": "+l.Message)
	}
	if !slices.Equal(got, want) {
		r.t.Errorf("lines:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// All that can happen to a log happens to one pod.
func TestNoLineIsLostOrRepeatedInTheLifeOfAPod(t *testing.T) {
	api := newLogAPI(t)
	var mu sync.Mutex
	opened := 0
	release := make(chan struct{})
	firstSecond := stamped(0, "a") + stamped(500, "same") + stamped(500, "same")
	long := strings.Repeat("x", 100<<10)
	ends := []string{3: stamped(1600, "last words"), 4: strings.TrimSuffix(stamped(3001, "no end"), "\n")}
	api.log = func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.URL.Query().Get("tailLines") == "1" {
			write(w, ends[opened])
			return
		}
		opened++
		switch opened {
		case 1:
			write(w, firstSecond+strings.TrimSuffix(stamped(700, "in the middle"), "middle\n"))
			cut()
		case 2:
			if since := r.URL.Query().Get("sinceTime"); since != logStart.Format(time.RFC3339) {
				t.Errorf("opened again since %q", since)
			}
			write(w, firstSecond+stamped(700, "in the middle")+stamped(1500, "b\xffc\r"))
			<-release
		case 3:
			write(w, stamped(1500, "b\xffc\r")+ends[opened])
		case 4:
			write(w, stamped(3000, long)+ends[opened])
		default:
			t.Errorf("unexpected request %d: %s", opened, r.URL)
		}
	}
	api.put(logTestPod("web", corev1.PodPending, waitingState("ImagePullBackOff", "no such image")))

	r := openStream(t, api, podlog.Input{Pod: new("web"), Follow: true})
	r.await("WAITING web: ImagePullBackOff: no such image")
	api.put(logTestPod("web", corev1.PodRunning, runningState("1")))
	r.await("web: b\uFFFDc")
	restarted := waitingState("CrashLoopBackOff", "back-off 10s")
	restarted.LastTerminationState = endedState("1", 1, "Error").State
	api.put(logTestPod("web", corev1.PodRunning, restarted))
	close(release)
	r.await("ENDED web: exit code 1 (Error)")
	second := endedState("2", 0, "Completed")
	second.State.Terminated.StartedAt = metav1.NewTime(logStart.Add(3 * time.Second))
	second.RestartCount = 1
	second.LastTerminationState = restarted.LastTerminationState
	api.put(logTestPod("web", corev1.PodSucceeded, second))
	r.end("web: a", "web: same", "web: same", "web: in the middle", "web: b\uFFFDc", "web: last words",
		"web: "+long[:podlog.DefaultLineBytes], "web: no end")
	if cut := r.lines[6].TruncatedBytes; cut != len(long)-podlog.DefaultLineBytes {
		t.Errorf("%d bytes were cut off", cut)
	}
	if !slices.Contains(r.text, "ENDED web: exit code 0 (Completed)") {
		t.Error("the end was not told")
	}
}

// A watch ends, or its resourceVersion is too old.
func TestLogsMissNoChangeWhenAWatchBreaks(t *testing.T) {
	for _, forget := range []bool{false, true} {
		t.Run(fmt.Sprintf("forget=%v", forget), func(t *testing.T) {
			api := newLogAPI(t)
			api.log = func(w http.ResponseWriter, r *http.Request) { write(w, stamped(0, "a")) }
			api.put(logTestPod("web", corev1.PodPending, waitingState("ContainerCreating", "")))
			r := openStream(t, api, podlog.Input{Pod: new("web"), Follow: true})
			r.await("WAITING web: ContainerCreating")
			api.cutWatches(false)
			api.put(logTestPod("web", corev1.PodPending, waitingState("ErrImagePull", "")))
			api.cutWatches(forget)
			r.await("WAITING web: ErrImagePull")
			api.put(logTestPod("web", corev1.PodSucceeded, endedState("1", 0, "Completed")))
			r.end("web: a")
		})
	}
}

func TestTheLogOfAJobHasAllItsPodsAndNoOthers(t *testing.T) {
	api := newLogAPI(t)
	api.log = func(w http.ResponseWriter, r *http.Request) {
		name := strings.Split(r.URL.Path, "/")[6]
		write(w, stamped(0, "log of "+name))
	}
	r := openStream(t, api, podlog.Input{Job: new("copy"), Follow: true})
	r.await("WAITING stream: there is no job copy in namespace default yet; check both names")

	job := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "copy", Namespace: "default", UID: "job"},
		Spec:       batchv1.JobSpec{Suspend: new(true)},
	}
	api.put(job)
	r.await("WAITING stream: job copy is suspended; it gets a pod when it is resumed")
	ofJob := func(pod *corev1.Pod, owner types.UID) *corev1.Pod {
		pod.Labels = map[string]string{batchv1.JobNameLabel: "copy"}
		pod.OwnerReferences = []metav1.OwnerReference{{Kind: "Job", Name: "copy", UID: owner, Controller: new(true)}}
		return pod
	}
	api.put(ofJob(logTestPod("older", corev1.PodFailed, endedState("0", 1, "Error")), "older"))
	api.put(ofJob(logTestPod("first", corev1.PodFailed, endedState("1", 1, "Error")), "job"))
	r.await("ENDED first: exit code 1 (Error)")
	// The pod and the end of the Job come at the same time, through two watches. The pod must not be missed.
	api.put(ofJob(logTestPod("second", corev1.PodSucceeded, endedState("2", 0, "Completed")), "job"))
	job.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue}}
	api.put(job)
	r.end("first: log of first", "second: log of second")
}

func TestTheLogOfADeletedJobEnds(t *testing.T) {
	api := newLogAPI(t)
	api.log = func(w http.ResponseWriter, r *http.Request) {
		write(w, stamped(0, "a"))
		<-r.Context().Done()
	}
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "copy", Namespace: "default", UID: "job"}}
	pod := logTestPod("web", corev1.PodRunning, runningState("1"))
	pod.Labels = map[string]string{batchv1.JobNameLabel: "copy"}
	pod.OwnerReferences = []metav1.OwnerReference{{Kind: "Job", Name: "copy", UID: "job", Controller: new(true)}}
	api.put(job)
	api.put(pod)
	r := openStream(t, api, podlog.Input{Job: new("copy"), Follow: true})
	r.await("web: a")
	api.remove(job)
	api.remove(pod)
	api.server.CloseClientConnections()
	r.end("web: a")
}

func TestErrorsOfLogsSayWhatIsMissing(t *testing.T) {
	forbid := func(path string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, path) {
				return false
			}
			writeStatus(w, http.StatusForbidden, metav1.StatusReasonForbidden, "no")
			return true
		}
	}
	for _, test := range []struct {
		name   string
		refuse func(http.ResponseWriter, *http.Request) bool
		in     podlog.Input
		code   usererr.Code
		says   string
	}{
		{"no such pod", nil, podlog.Input{Pod: new("db")}, usererr.NotFound, "no pod db in namespace default"},
		{"bad selector", nil, podlog.Input{Selector: new("a in")}, usererr.BadInput, "selector"},
		{"pods forbidden", forbid("/pods"), podlog.Input{Pod: new("web")}, usererr.Forbidden, "pods in namespace default: either there is no such namespace, or"},
		{"jobs forbidden", forbid("/jobs"), podlog.Input{Job: new("copy")}, usererr.Forbidden, "list and watch jobs"},
		{"logs forbidden", forbid("/log"), podlog.Input{Pod: new("web")}, usererr.Forbidden, "get pods/log in namespace default: its service account needs a RoleBinding there"},
		{"server away", func(w http.ResponseWriter, _ *http.Request) bool {
			writeStatus(w, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, "no")
			return true
		}, podlog.Input{Pod: new("web")}, usererr.Unavailable, "does not answer"},
	} {
		t.Run(test.name, func(t *testing.T) {
			api := newLogAPI(t)
			api.refuse = test.refuse
			api.put(logTestPod("web", corev1.PodRunning, runningState("1")))
			test.in.Namespace, test.in.Follow = "default", true
			stream, err := newStreamer(api).Stream(t.Context(), test.in)
			if err == nil {
				defer stream.Close()
				for err == nil {
					_, err = stream.Next(t.Context())
				}
			}
			if usererr.CodeOf(err) != test.code || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestALogThatCannotBeOpenedYetIsNotGone(t *testing.T) {
	missing := func(resource string) error {
		return apierrors.NewGenericServerResponse(http.StatusNotFound, "get", corev1.Resource(resource), "web", "", 0, false)
	}
	for name, test := range map[string]struct{ answer, want error }{
		"pod is gone": {apierrors.NewNotFound(corev1.Resource("pods"), "web"), podlog.ErrGone},
		// The node has just started. The API server passes on the node's 404.
		"node does not know the pod": {missing("pods/log"), podlog.ErrUnknown},
		"container waits":            {apierrors.NewBadRequest("container is waiting to start"), podlog.ErrNoLog},
	} {
		t.Run(name, func(t *testing.T) {
			api := newLogAPI(t)
			api.log = func(w http.ResponseWriter, _ *http.Request) {
				answer, _ := errors.AsType[*apierrors.StatusError](test.answer)
				status := answer.ErrStatus
				status.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(int(status.Code))
				json.NewEncoder(w).Encode(status)
			}
			_, err := New(api.client).OpenLog(t.Context(), podlog.LogRequest{Namespace: "default", Pod: "web"})
			if !errors.Is(err, test.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A proxy's 404 says nothing about the pod.
func TestA404OfAProxyDoesNotEndALog(t *testing.T) {
	api := newLogAPI(t)
	api.log = func(w http.ResponseWriter, _ *http.Request) { http.NotFound(w, nil) }
	_, err := New(api.client).OpenLog(t.Context(), podlog.LogRequest{Namespace: "default", Pod: "web"})
	if err == nil || errors.Is(err, podlog.ErrGone) {
		t.Errorf("got %v", err)
	}
}

// Streams are closed at random moments. The cleanup of newLogAPI fails when requests are still open.
func TestClosedStreamsLeaveNothingBehind(t *testing.T) {
	api := newLogAPI(t)
	api.log = func(w http.ResponseWriter, r *http.Request) {
		for i := 0; r.Context().Err() == nil && i < 1000; i++ {
			write(w, stamped(i, "x"))
		}
		<-r.Context().Done()
	}
	for i := range 5 {
		api.put(logTestPod(fmt.Sprintf("web-%d", i), corev1.PodRunning, runningState(fmt.Sprint(i))))
	}
	streamer := newStreamer(api)
	var streams sync.WaitGroup
	for seed := range uint64(20) {
		streams.Go(func() {
			random := rand.New(rand.NewPCG(seed, 0))
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(100))*time.Millisecond)
			defer cancel()
			stream, err := streamer.Stream(ctx, podlog.Input{Namespace: "default", Selector: new("app=web"), Follow: true})
			if err != nil {
				return
			}
			for n := random.IntN(30); n > 0 && err == nil; n-- {
				_, err = stream.Next(ctx)
			}
			stream.Close()
		})
	}
	streams.Wait()
}

func newStreamer(api *logAPI) *follow.Streamer {
	return follow.New(follow.Options{
		Source: New(api.client), Metrics: follow.NewMetrics(prometheus.NewRegistry()), Log: slog.New(slog.DiscardHandler),
	})
}
