package e2e

import (
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

type logBatch struct {
	Lines   []logLine
	Notices []logNotice
	Cursor  string
}

type logLine struct {
	Pod, Container string
	Timestamp      time.Time
	Message        string
	TruncatedBytes int
}

type logNotice struct {
	Kind           string
	Pod, Container *string
	Message        string
	Count          *int
}

const logsQuery = `subscription($input: PodLogsInput!) { podLogs(input: $input) {
	lines { pod container timestamp message truncatedBytes } notices { kind pod container message count } cursor
} }`

// podLogs subscribes to logs; input is a PodLogsInput.
func (s *server) podLogs(t *testing.T, input map[string]any) *subscription[logBatch] {
	t.Helper()
	return subscribe[logBatch](t, s, logsQuery, map[string]any{"input": input})
}

// transcript is all that a subscription to logs has brought.
type transcript struct {
	lines   []logLine
	notices []logNotice
}

func collect(batches []logBatch) transcript {
	var l transcript
	for _, b := range batches {
		l.add(b)
	}
	return l
}

func (l *transcript) add(b logBatch) {
	l.lines = append(l.lines, b.Lines...)
	l.notices = append(l.notices, b.Notices...)
}

// of returns the lines of one container as kubectl logs --timestamps prints them.
func (l transcript) of(pod, container string) []string {
	var lines []string
	for _, line := range l.lines {
		if line.Pod == pod && line.Container == container {
			lines = append(lines, line.Timestamp.Format(time.RFC3339Nano)+" "+line.Message)
		}
	}
	return lines
}

func (l transcript) pods() []string {
	var pods []string
	for _, line := range l.lines {
		pods = append(pods, line.Pod)
	}
	slices.Sort(pods)
	return slices.Compact(pods)
}

func (l transcript) noticed(kind string) []logNotice {
	return slices.DeleteFunc(slices.Clone(l.notices), func(n logNotice) bool { return n.Kind != kind })
}

// kubectlLogs returns the lines that kubectl logs --timestamps prints.
func kubectlLogs(t *testing.T, namespace, pod string, flags ...string) []string {
	t.Helper()
	args := append([]string{"--kubeconfig=" + env.Kubeconfig, "logs", "--timestamps", "--namespace=" + namespace, pod}, flags...)
	out, err := exec.CommandContext(t.Context(), "kubectl", args...).Output()
	if err != nil {
		t.Fatalf("kubectl %v: %v", args, err)
	}
	var lines []string
	for line := range strings.Lines(string(out)) {
		stamp, message, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		at, err := time.Parse(time.RFC3339Nano, stamp)
		if err != nil {
			t.Fatalf("kubectl's line %q: %v", line, err)
		}
		lines = append(lines, at.UTC().Format(time.RFC3339Nano)+" "+message)
	}
	return lines
}

// checkSame compares what was delivered of a log with the whole log, line by line.
func checkSame(t *testing.T, got, want []string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Errorf("line %d of %d differs from the log's, of %d: %.200q, want %.200q", i, len(got), len(want), at(got, i), at(want, i))
			return
		}
	}
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(none)"
}

func TestLogsOfAJobBeginThoughItDoesNotExistYet(t *testing.T) {
	const lines = 3000
	namespace := newNamespace(t)
	s := startServer(t, namespace)
	logs := s.podLogs(t, map[string]any{"namespace": namespace, "job": "talker"})
	first := logs.until(t, "tells that the Job is waited for", func(b logBatch) bool { return len(b.Notices) > 0 })
	if n := first.Notices[0]; n.Kind != "WAITING" || !strings.Contains(n.Message, "talker") {
		t.Errorf("the first notice: %+v", n)
	}
	began := time.Now()
	createJob(t, namespace, "talker", podSpec(corev1.RestartPolicyNever, program("main", "log", fmt.Sprint(lines), "1", "200")))
	all := collect(logs.rest(t))
	if len(all.pods()) != 1 || len(all.lines) != lines {
		t.Fatalf("%d lines of pods %v, want %d of one", len(all.lines), all.pods(), lines)
	}
	pod := all.pods()[0]
	checkSame(t, all.of(pod, "main"), kubectlLogs(t, namespace, pod))
	if n := all.noticed("STARTED"); len(n) != 1 {
		t.Errorf("STARTED: %+v", n)
	}
	if n := all.noticed("ENDED"); len(n) != 1 || !strings.Contains(n[0].Message, "exit code 0") {
		t.Errorf("ENDED: %+v", n)
	}
	figures.add(t, "a Job's creation until the end of its 3000 lines, 1 ms apart", "%.1f s", time.Since(began).Seconds())
}

func TestLogsFollowPodsThatComeAndGo(t *testing.T) {
	namespace := newNamespace(t)
	s := startServer(t, namespace)
	labels := map[string]string{"app": "chorus"}
	const lines = 200
	talker := podSpec(corev1.RestartPolicyNever, program("main", "log", fmt.Sprint(lines), "2", "80"))
	createPod(t, namespace, "first", labels, talker)
	createPod(t, namespace, "other", map[string]string{"app": "solo"}, talker)
	logs := s.podLogs(t, map[string]any{"namespace": namespace, "selector": "app=chorus"})
	var all transcript
	await := func(pod string) {
		t.Helper()
		logs.until(t, "is the end of "+pod, func(b logBatch) bool {
			all.add(b)
			return slices.ContainsFunc(b.Notices, func(n logNotice) bool { return n.Kind == "ENDED" && n.Pod != nil && *n.Pod == pod })
		})
	}
	await("first")
	createPod(t, namespace, "second", labels, talker)
	await("second")
	if got := all.pods(); !slices.Equal(got, []string{"first", "second"}) {
		t.Errorf("there are lines of %v", got)
	}
	for _, pod := range []string{"first", "second"} {
		if n := len(all.of(pod, "main")); n != lines {
			t.Errorf("%s has %d lines, want %d", pod, n, lines)
		}
		checkSame(t, all.of(pod, "main"), kubectlLogs(t, namespace, pod))
	}
}

func TestLogsAreOfTheContainersAskedFor(t *testing.T) {
	namespace := newNamespace(t)
	s := startServer(t, namespace)
	spec := podSpec(corev1.RestartPolicyNever, program("main", "log", "50", "0"), program("beside", "log", "20", "0"))
	spec.InitContainers = []corev1.Container{program("before", "log", "10", "0")}
	createPod(t, namespace, "several", nil, spec)
	waitForPod(t, namespace, "several", "has ended", hasSucceeded)

	input := map[string]any{"namespace": namespace, "pod": "several"}
	whole := collect(s.podLogs(t, input).rest(t))
	for _, container := range []string{"before", "main", "beside"} {
		checkSame(t, whole.of("several", container), kubectlLogs(t, namespace, "several", "--container="+container))
	}
	input["containers"] = "be.*"
	some := collect(s.podLogs(t, input).rest(t))
	if n := len(some.of("several", "before")); n != 10 || len(some.of("several", "beside")) != 20 || len(some.lines) != 30 {
		t.Errorf("%d lines of the containers that match, %d of them of one", len(some.lines), n)
	}
	delete(input, "containers")
	input["container"] = "beside"
	if one := collect(s.podLogs(t, input).rest(t)); len(one.lines) != 20 || len(one.of("several", "beside")) != 20 {
		t.Errorf("%d lines of one container, %d of them its own", len(one.lines), len(one.of("several", "beside")))
	}
	input["tailLines"], input["follow"] = 3, false
	tail := collect(s.podLogs(t, input).rest(t))
	checkSame(t, tail.of("several", "beside"), kubectlLogs(t, namespace, "several", "--container=beside", "--tail=3"))
	if len(tail.lines) != 3 {
		t.Errorf("tailLines 3 gave %d lines", len(tail.lines))
	}
}

func TestLongLogLinesAreCutAndSaySo(t *testing.T) {
	const size, longest = 100_000, 64 << 10
	namespace := newNamespace(t)
	s := startServer(t, namespace)
	createPod(t, namespace, "long", nil, podSpec(corev1.RestartPolicyNever, program("main", "log", "3", "0", fmt.Sprint(size))))
	waitForPod(t, namespace, "long", "has ended", hasSucceeded)
	all := collect(s.podLogs(t, map[string]any{"namespace": namespace, "pod": "long"}).rest(t))
	whole := kubectlLogs(t, namespace, "long")
	if len(all.lines) != 3 || len(whole) != 3 {
		t.Fatalf("%d lines, and %d of kubectl's, want 3", len(all.lines), len(whole))
	}
	for i, line := range all.lines {
		if len(line.Message) != longest || line.TruncatedBytes != size-longest {
			t.Errorf("%d bytes, and %d cut off", len(line.Message), line.TruncatedBytes)
		}
		if _, message, _ := strings.Cut(whole[i], " "); !strings.HasPrefix(message, line.Message) {
			t.Errorf("line %d is not the beginning of kubectl's", i)
		}
	}
	// At once, so that they share the log.
	var readers []*logReader
	limits := []int{256 << 10, size - 1, 1000}
	for _, limit := range limits {
		readers = append(readers, readLogs(t, map[string]any{"namespace": namespace, "pod": "long", "maxLineBytes": limit}, s))
	}
	for i, limit := range limits {
		for j, line := range readers[i].whole(t).lines {
			_, message, _ := strings.Cut(whole[j], " ")
			if want := message[:min(size, limit)]; line.Message != want || line.TruncatedBytes != size-len(want) {
				t.Errorf("maxLineBytes %d: %d bytes, and %d cut off", limit, len(line.Message), line.TruncatedBytes)
			}
		}
	}
	// Filters look behind what is cut off.
	for filter, want := range map[string]int{"include": 3, "exclude": 0} {
		logs := collect(s.podLogs(t, map[string]any{"namespace": namespace, "pod": "long", filter: `x\.$`}).rest(t))
		if len(logs.lines) != want {
			t.Errorf("%s of what is at the end of each line leaves %d lines, want %d", filter, len(logs.lines), want)
		}
	}
	// A kubelet counts the parts of a line.
	tail := collect(s.podLogs(t, map[string]any{"namespace": namespace, "pod": "long", "tailLines": 2}).rest(t))
	if !slices.Equal(tail.lines, all.lines[1:]) {
		t.Errorf("the last two of three lines are %d lines", len(tail.lines))
	}
}

func TestTheLogOfThePreviousRunIsThatOfKubectl(t *testing.T) {
	namespace := newNamespace(t)
	s := startServer(t, namespace)
	createPod(t, namespace, "again", nil, podSpec(corev1.RestartPolicyAlways, program("main", "log", "30", "0")))
	restarted := func(pod *corev1.Pod) bool {
		return len(pod.Status.ContainerStatuses) == 1 && pod.Status.ContainerStatuses[0].RestartCount > 0
	}
	waitForPod(t, namespace, "again", "has restarted", restarted)
	previous := func() []string { return kubectlLogs(t, namespace, "again", "--previous") }
	// Only while the container is not restarted once more is it clear which run is the previous one.
	var got, want []string
	eventually(t, "the logs of one and the same run have been read", func() bool {
		want = previous()
		logs := s.podLogs(t, map[string]any{"namespace": namespace, "pod": "again", "previous": true})
		got = collect(logs.rest(t)).of("again", "main")
		return slices.Equal(want, previous())
	})
	if len(want) != 30 {
		t.Errorf("the previous run has %d lines", len(want))
	}
	checkSame(t, got, want)
}

func TestALogThatCannotBeReadSaysWhy(t *testing.T) {
	namespace := newNamespace(t)
	s := startServer(t, namespace)
	createPod(t, namespace, "here", nil, podSpec(corev1.RestartPolicyNever, program("main", "log", "1", "0")))
	for _, c := range []struct {
		name, code string
		input      map[string]any
	}{
		{"no such pod", "NOT_FOUND", map[string]any{"pod": "nowhere"}},
		{"no such namespace", "NOT_FOUND", map[string]any{"namespace": "pullwatch-e2e-nowhere", "selector": "app"}},
		{"no such container", "NOT_FOUND", map[string]any{"pod": "here", "container": "other"}},
		{"no target", "BAD_INPUT", map[string]any{}},
		{"two targets", "BAD_INPUT", map[string]any{"pod": "here", "job": "here"}},
		{"bad selector", "BAD_INPUT", map[string]any{"selector": "app in ("}},
		{"bad name", "BAD_INPUT", map[string]any{"pod": "Not a name"}},
		{"negative tail", "BAD_INPUT", map[string]any{"pod": "here", "tailLines": -1}},
		{"long tail", "BAD_INPUT", map[string]any{"pod": "here", "tailLines": 10_001}},
		{"no such workload", "NOT_FOUND", map[string]any{"workload": "deployment/nowhere"}},
		{"bad workload", "BAD_INPUT", map[string]any{"workload": "pod/here"}},
		{"no container that matches", "NOT_FOUND", map[string]any{"pod": "here", "containers": "mai"}},
		{"bad containers", "BAD_INPUT", map[string]any{"pod": "here", "containers": "("}},
		{"lines of nothing", "BAD_INPUT", map[string]any{"pod": "here", "maxLineBytes": 0}},
		{"too long lines", "BAD_INPUT", map[string]any{"pod": "here", "maxLineBytes": 256<<10 + 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			input := map[string]any{"namespace": namespace}
			maps.Copy(input, c.input)
			batch, err := s.podLogs(t, input).Next()
			if codeOf(err) != c.code {
				t.Errorf("got %+v, %v, want %s", batch, err, c.code)
			}
		})
	}
}
