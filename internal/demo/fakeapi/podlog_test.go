package fakeapi_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// startPod creates a scheduled pod whose container has the status given.
func startPod(t *testing.T, client kubernetes.Interface, status corev1.ContainerStatus) {
	t.Helper()
	pod := newPod("pod", nil)
	pod.Spec.NodeName = "node"
	created := mustCreatePod(t, t.Context(), client, pod)
	setStatus(t, client, created, status)
}

func setStatus(t *testing.T, client kubernetes.Interface, pod *corev1.Pod, status corev1.ContainerStatus) {
	t.Helper()
	status.Name = "main"
	pod = pod.DeepCopy()
	pod.ResourceVersion = ""
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{status}
	if _, err := client.CoreV1().Pods(namespace).UpdateStatus(t.Context(), pod, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func running(id string) corev1.ContainerStatus {
	return corev1.ContainerStatus{ContainerID: id, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}
}

func readLog(t *testing.T, client kubernetes.Interface, options corev1.PodLogOptions) string {
	t.Helper()
	data, err := client.CoreV1().Pods(namespace).GetLogs("pod", &options).DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestLogOptionsSelectLines(t *testing.T) {
	server, client := newClient(t)
	log := server.OpenLog("run-1")
	startPod(t, client, running("run-1"))
	fmt.Fprint(log, "one\ntwo\nth")
	fmt.Fprint(log, "ree\nfour")

	for _, test := range []struct {
		name    string
		options corev1.PodLogOptions
		want    string
	}{
		{"all", corev1.PodLogOptions{}, "one\ntwo\nthree\nfour"},
		{"tail", corev1.PodLogOptions{TailLines: new(int64(2))}, "three\nfour"},
		{"tail 0", corev1.PodLogOptions{TailLines: new(int64(0))}, ""},
		{"tail of more than there is", corev1.PodLogOptions{TailLines: new(int64(99))}, "one\ntwo\nthree\nfour"},
		{"limit", corev1.PodLogOptions{LimitBytes: new(int64(6))}, "one\ntw"},
		{"since", corev1.PodLogOptions{SinceTime: &metav1.Time{Time: time.Now().Add(time.Hour)}}, ""},
		{"since seconds", corev1.PodLogOptions{SinceSeconds: new(int64(3600))}, "one\ntwo\nthree\nfour"},
	} {
		if got := readLog(t, client, test.options); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}

	stamped := strings.Split(readLog(t, client, corev1.PodLogOptions{Timestamps: true}), "\n")
	for i, text := range []string{"one", "two", "three", "four"} {
		stamp, line, _ := strings.Cut(stamped[i], " ")
		if _, err := time.Parse(time.RFC3339Nano, stamp); err != nil || line != text {
			t.Errorf("line %d is %q, want a time and %q", i, stamped[i], text)
		}
	}
}

func TestLogsOfARestartedContainerAreKeptApart(t *testing.T) {
	server, client := newClient(t)
	fmt.Fprintln(server.OpenLog("run-1"), "before")
	startPod(t, client, running("run-1"))
	fmt.Fprintln(server.OpenLog("run-2"), "after")
	pod, err := client.CoreV1().Pods(namespace).Get(t.Context(), "pod", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	again := running("run-2")
	again.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ContainerID: "run-1"}
	setStatus(t, client, pod, again)

	if got := readLog(t, client, corev1.PodLogOptions{}); got != "after\n" {
		t.Errorf("current log %q", got)
	}
	if got := readLog(t, client, corev1.PodLogOptions{Previous: true}); got != "before\n" {
		t.Errorf("previous log %q", got)
	}
}

func TestALogThatCannotBeReadSaysWhy(t *testing.T) {
	_, client := newClient(t)
	waiting := func(reason string) corev1.ContainerStatus {
		return corev1.ContainerStatus{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}}}
	}
	startPod(t, client, waiting("ContainerCreating"))
	read := func(pod string, options corev1.PodLogOptions) error {
		stream, err := client.CoreV1().Pods(namespace).GetLogs(pod, &options).Stream(t.Context())
		if err == nil {
			stream.Close()
		}
		return err
	}
	if err := read("nobody", corev1.PodLogOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("no pod: %v", err)
	}
	for _, test := range []struct {
		options corev1.PodLogOptions
		want    string
	}{
		{corev1.PodLogOptions{}, `container "main" in pod "pod" is waiting to start: ContainerCreating`},
		{corev1.PodLogOptions{Container: "side"}, `container side is not valid for pod pod`},
		{corev1.PodLogOptions{Previous: true}, `previous terminated container "main" in pod "pod" not found`},
	} {
		if err := read("pod", test.options); !apierrors.IsBadRequest(err) || err.Error() != test.want {
			t.Errorf("%+v: got %v, want %s", test.options, err, test.want)
		}
	}
}

func TestAFollowedLogBringsNewLines(t *testing.T) {
	server, client := newClient(t)
	log := server.OpenLog("run-1")
	startPod(t, client, running("run-1"))
	fmt.Fprintln(log, "old")

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := client.CoreV1().Pods(namespace).GetLogs("pod", &corev1.PodLogOptions{Follow: true}).Stream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	lines := bufio.NewReader(stream)
	for _, line := range []string{"old\n", "new\n", "newer\n"} {
		if line != "old\n" {
			fmt.Fprint(log, line)
		}
		if got, err := lines.ReadString('\n'); got != line || err != nil {
			t.Fatalf("got %q, %v, want %q", got, err, line)
		}
	}
	log.Close()
	if rest, err := lines.ReadString('\n'); rest != "" || err != io.EOF {
		t.Errorf("at the end of the run: %q, %v", rest, err)
	}
}

func TestAFollowedLogEndsWithItsReaderOrItsPod(t *testing.T) {
	for name, end := range map[string]func(kubernetes.Interface, context.CancelFunc, io.Closer) error{
		"canceled": func(_ kubernetes.Interface, cancel context.CancelFunc, _ io.Closer) error { cancel(); return nil },
		"closed":   func(_ kubernetes.Interface, _ context.CancelFunc, stream io.Closer) error { return stream.Close() },
		"pod deleted": func(client kubernetes.Interface, _ context.CancelFunc, _ io.Closer) error {
			return client.CoreV1().Pods(namespace).Delete(t.Context(), "pod", metav1.DeleteOptions{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			server, client := newClient(t)
			fmt.Fprintln(server.OpenLog("run-1"), "line")
			startPod(t, client, running("run-1"))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			stream, err := client.CoreV1().Pods(namespace).GetLogs("pod", &corev1.PodLogOptions{Follow: true}).Stream(ctx)
			if err != nil {
				t.Fatal(err)
			}
			defer stream.Close()
			lines := bufio.NewReader(stream)
			if _, err := lines.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			if err := end(client, cancel, stream); err != nil {
				t.Fatal(err)
			}
			if _, err := lines.ReadString('\n'); err == nil {
				t.Error("the stream goes on")
			}
		})
	}
}

func TestALogKeepsOnlyItsLatestLines(t *testing.T) {
	server, client := newClient(t)
	log := server.OpenLog("run-1")
	startPod(t, client, running("run-1"))
	line := strings.Repeat("x", 1023) + "\n"
	for range 3000 {
		fmt.Fprint(log, line)
	}
	fmt.Fprintln(log, "last")
	got := readLog(t, client, corev1.PodLogOptions{})
	if len(got) > 1<<20 || !strings.HasSuffix(got, "last\n") {
		t.Errorf("%d bytes are left, ending in %q", len(got), got[max(0, len(got)-10):])
	}
}
