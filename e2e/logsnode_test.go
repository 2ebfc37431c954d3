package e2e

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// What the cluster says about pods that end, or whose containers never run, is told with their ends.
func TestLogsSayWhatTheClusterKnowsOfAnEnd(t *testing.T) {
	namespace := newNamespace(t)
	s := startServer(t, namespace)
	nodes, err := env.Client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	writes := program("main", "log", "0", "100")
	tooLarge, late, bad := podSpec(corev1.RestartPolicyNever, writes), podSpec(corev1.RestartPolicyNever, writes), podSpec(corev1.RestartPolicyNever, writes)
	tooLarge.NodeName = nodes.Items[0].Name // so that the kubelet refuses it, not the scheduler
	tooLarge.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10000")}
	late.ActiveDeadlineSeconds = new(int64(3))
	bad.Containers[0].Command = []string{"/nowhere"}
	failing, greedy := podSpec(corev1.RestartPolicyNever, writes), podSpec(corev1.RestartPolicyNever, program("main", "log", "0", "10", "10000"))
	failing.InitContainers = []corev1.Container{program("before", "exit", "3")}
	greedy.Containers[0].Resources.Limits = corev1.ResourceList{corev1.ResourceEphemeralStorage: resource.MustParse("2Mi")}
	pods := map[string]corev1.PodSpec{"too-large": tooLarge, "late": late, "bad": bad, "failing": failing, "greedy": greedy}
	readers := map[string]*logReader{}
	for name, spec := range pods {
		createPod(t, namespace, name, nil, spec)
		readers[name] = readLogs(t, map[string]any{"namespace": namespace, "pod": name, "container": "main"}, s)
	}
	for name, says := range map[string]string{
		"too-large": "it has never run: OutOfcpu: ",
		"late":      "; its pod: DeadlineExceeded: ",
		"bad":       "(StartError): failed to create containerd task: ",
		"failing":   "it has never run: init container before has failed with exit code 3",
		"greedy":    "; its pod: Evicted: ",
	} {
		eventually(t, name+" has ended", readers[name].over)
		logs := readers[name].transcript()
		if ended := logs.noticed("ENDED"); len(ended) != 1 || !strings.Contains(ended[0].Message, says) {
			t.Errorf("%s: ENDED says %+v, want %q", name, ended, says)
		}
		if strings.HasPrefix(says, "it has never") && len(logs.noticed("STARTED")) > 0 {
			t.Errorf("%s: the notices: %+v", name, logs.notices)
		}
	}
}

// A kubelet sends a text in place of a log that it has deleted.
func TestWhatANodeSaysOfALogIsNoLineOfIt(t *testing.T) {
	namespace := newNamespace(t)
	s := startServer(t, namespace)
	const gone = "unable to retrieve container logs for "
	createPod(t, namespace, "again", nil, podSpec(corev1.RestartPolicyAlways, program("main", "log", "1", "1000", "60", "2")))
	eventually(t, "the node has deleted the log of the run before", func() bool {
		out, _ := exec.CommandContext(t.Context(), "kubectl", "--kubeconfig="+env.Kubeconfig, "logs", "--namespace="+namespace, "again", "--previous").Output()
		return strings.HasPrefix(string(out), gone)
	})
	for _, input := range []map[string]any{{}, {"include": "line"}, {"tailLines": 10}} {
		input["namespace"], input["pod"], input["previous"] = namespace, "again", true
		logs := collect(s.podLogs(t, input).rest(t))
		// By now the container may have been restarted, and the log of its last run be there.
		if len(logs.noticed("GAP")) == 0 && len(logs.lines) == 1 && strings.HasPrefix(logs.lines[0].Message, "line 0 ") {
			continue
		}
		if gaps := logs.noticed("GAP"); len(logs.lines) > 0 || len(gaps) != 1 || !strings.Contains(gaps[0].Message, "the node says: "+gone) {
			t.Errorf("%v: lines %+v, GAP %+v", input, logs.lines, gaps)
		}
	}
}

// A pod writes all the time. While its label does not match, nothing comes of it. Then it goes on, and in the end all is gone.
func TestPodsThatLeaveTheirTargetAreNotFollowed(t *testing.T) {
	s := startServer(t, newNamespace(t))
	namespace := newNamespace(t)
	talks := podSpec(corev1.RestartPolicyNever, program("main", "log", "0", "20", "80"))
	createPod(t, namespace, "talker", map[string]string{"app": "web"}, talks)
	createJob(t, namespace, "orphans", talks)
	web := s.podLogs(t, map[string]any{"namespace": namespace, "selector": "app=web"})
	job := s.podLogs(t, map[string]any{"namespace": namespace, "job": "orphans"})
	orphans := s.podLogs(t, map[string]any{"namespace": namespace, "selector": "batch.kubernetes.io/job-name=orphans"})
	hasLines := func(b logBatch) bool { return len(b.Lines) > 0 }
	var all transcript
	label := func(value string) {
		t.Helper()
		change := fmt.Appendf(nil, `{"metadata":{"labels":{"app":%q}}}`, value)
		if _, err := env.Client.CoreV1().Pods(namespace).Patch(t.Context(), "talker", types.MergePatchType, change, metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	await := func(what string, is func(logBatch) bool) {
		t.Helper()
		web.until(t, what, func(b logBatch) bool {
			all.add(b)
			return is(b)
		})
	}
	told := func(l *transcript, kind, message string) bool {
		return slices.ContainsFunc(l.noticed(kind), func(n logNotice) bool { return strings.Contains(n.Message, message) })
	}
	await("has lines", hasLines)
	label("quarantined")
	await("tells that the pod has left, and that there is no other", func(logBatch) bool {
		return told(&all, "ENDED", "does not match app=web any more") &&
			told(&all, "WAITING", "no pod in namespace "+namespace+" matches app=web any more")
	})
	before := len(all.lines)
	label("web")
	await("tells that the log goes on", func(logBatch) bool { return told(&all, "RESUMED", "") })
	await("has lines", func(logBatch) bool { return len(all.lines) > before })
	checkNumbered(t, all, "talker", len(all.lines))

	job.until(t, "has lines", hasLines)
	orphans.until(t, "has lines", hasLines)
	orphan := metav1.DeletePropagationOrphan
	if err := env.Client.BatchV1().Jobs(namespace).Delete(t.Context(), "orphans", metav1.DeleteOptions{PropagationPolicy: &orphan}); err != nil {
		t.Fatal(err)
	}
	if left := collect(job.rest(t)).noticed("ENDED"); len(left) != 1 || !strings.Contains(left[0].Message, "does not belong to job orphans any more") {
		t.Errorf("ENDED says %+v", left)
	}
	if err := env.Client.CoreV1().Namespaces().Delete(t.Context(), namespace, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	var last transcript
	orphans.until(t, "tells that the namespace is lost", func(b logBatch) bool {
		last.add(b)
		return told(&last, "WAITING", "namespace "+namespace)
	})
}

// Containers that have ended take no places from those that run.
func TestAPodWithManyEndedContainersIsFollowed(t *testing.T) {
	const ended = 51
	namespace := newNamespace(t)
	s := startServer(t, namespace)
	spec := podSpec(corev1.RestartPolicyNever, program("main", "log", "0", "100"))
	for i := range ended {
		spec.Containers = append(spec.Containers, program(fmt.Sprint("short-", i), "log", "1", "0"))
	}
	createPod(t, namespace, "crowd", nil, spec)
	waitForPod(t, namespace, "crowd", "has only one container that runs", func(p *corev1.Pod) bool {
		over := 0
		for _, c := range p.Status.ContainerStatuses {
			if c.State.Terminated != nil {
				over++
			}
		}
		return over == ended
	})
	var all transcript
	read := map[string]bool{}
	s.podLogs(t, map[string]any{"namespace": namespace, "pod": "crowd"}).until(t, "has lines of the last container", func(b logBatch) bool {
		all.add(b)
		for _, line := range b.Lines {
			read[line.Container] = true
		}
		return len(read) == ended+1
	})
	checkNothingMissing(t, all)
	for _, n := range all.noticed("WAITING") {
		t.Errorf("%s waits: %s", text(n.Container), n.Message)
	}
}
