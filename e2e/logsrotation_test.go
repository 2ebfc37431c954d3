package e2e

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// The kubelet rotates a log again and again. A client that follows the log gets all of it. One that resumes after a rotation gets
// a notice that lines are missing, and all that the log still holds.
func TestFollowersGetEveryLineOfARotatedLog(t *testing.T) {
	needLab(t)
	configureKubelet(t, "containerLogMaxSize: 1Mi", "containerLogMaxFiles: 50", "containerLogMonitorInterval: 3s")
	namespace := newNamespace(t)
	s := startServer(t, namespace)
	// A mebibyte in 2 s. A kubelet that follows a log can miss lines that are written while it changes over to the next
	// file, so there are few of them.
	createPod(t, namespace, "talker", nil, podSpec(corev1.RestartPolicyNever, program("main", "log", "600", "30", "15000")))
	input := map[string]any{"namespace": namespace, "pod": "talker"}
	follower := readLogs(t, input, s)
	absent := s.podLogs(t, input)
	last := absent.until(t, "has lines", func(b logBatch) bool { return len(b.Lines) > 0 })
	absent.Close()

	pod := waitForPod(t, namespace, "talker", "runs", func(p *corev1.Pod) bool { return p.Status.Phase != corev1.PodPending })
	eventually(t, "the log has been rotated 3 times", func() bool { return len(logFiles(t, pod, "main")) > 3 })
	input["after"] = last.Cursor
	late := collect(s.podLogs(t, input).rest(t))

	got := follower.whole(t).of("talker", "main")
	files := logFiles(t, pod, "main")
	whole := nodeLog(t, files)
	checkSame(t, got, whole)
	got = late.of("talker", "main")
	if len(got) == 0 || len(got) >= len(whole) {
		t.Fatalf("who came back has %d lines of %d", len(got), len(whole))
	}
	checkSame(t, got, whole[len(whole)-len(got):])
	if gaps := late.noticed("GAP"); len(gaps) != 1 || len(late.noticed("DROPPED")) != 0 {
		t.Errorf("who came back was told %+v", late.notices)
	}
	firstLines := slices.IndexFunc(files, func(file string) bool { return slices.Contains(nodeLog(t, []string{file}), got[0]) })
	if firstLines < 3 {
		t.Errorf("who came back after 3 rotations has lines of file %d", firstLines)
	}
	figures.add(t, "rotations that a follower went through", "%d, with %d lines of 15,000 bytes", len(files)-1, len(whole))
}
