package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func TestLogsOfACrashLoopHaveEveryRun(t *testing.T) {
	const lines, runs = 300, 3
	namespace := newNamespace(t)
	s := startServer(t, namespace)
	createPod(t, namespace, "loop", nil, podSpec(corev1.RestartPolicyAlways, program("main", "log", fmt.Sprint(lines), "1", "60", "7")))
	var all transcript
	s.podLogs(t, map[string]any{"namespace": namespace, "pod": "loop"}).until(t, "tells of the end of the last run", func(b logBatch) bool {
		all.add(b)
		return len(all.noticed("ENDED")) == runs
	})
	checkNothingMissing(t, all)
	checkNumbered(t, all, "loop", lines)
	if len(all.lines) != runs*lines {
		t.Errorf("%d runs of %d lines have %d lines", runs, lines, len(all.lines))
	}
	// Notices between the end of a run and the beginning of the next one do not count, but one says that it loops.
	var kinds []string
	var looped []logNotice
	for _, n := range all.notices {
		switch n.Kind {
		case "STARTED":
		case "ENDED":
			if !strings.Contains(n.Message, "exit code 7") {
				t.Errorf("a run ended with %s", n.Message)
			}
		default:
			if strings.Contains(n.Message, "CrashLoopBackOff") {
				looped = append(looped, n)
			}
			continue
		}
		kinds = append(kinds, n.Kind)
	}
	if want := slices.Repeat([]string{"STARTED", "ENDED"}, runs); !slices.Equal(kinds, want) {
		t.Errorf("the notices: %+v", all.notices)
	}
	if len(looped) != 1 || looped[0].Kind != "WAITING" || looped[0].Count == nil || *looped[0].Count == 0 {
		t.Errorf("of the loop was told %+v", looped)
	}
}

// checkNumbered checks that the lines that a pod's program numbers follow each other, from 0 to below n and then from 0
// again.
func checkNumbered(t *testing.T, logs transcript, pod string, n int) {
	t.Helper()
	for i, line := range logs.of(pod, "main") {
		if want := fmt.Sprintf("line %d from %s ", i%n, pod); !strings.Contains(line, want) {
			t.Errorf("line %d of %s is %.100q", i, pod, line)
			return
		}
	}
}

// The pods of a Deployment are replaced while its logs are followed.
func TestLogsFollowADeploymentThatIsRolledOver(t *testing.T) {
	const replicas = 2
	namespace := newNamespace(t)
	s := startServer(t, namespace)
	name, labels := "chorus", map[string]string{"app": "chorus"}
	spec := podSpec(corev1.RestartPolicyAlways, program("main", "log", "0", "5", "80"))
	spec.TerminationGracePeriodSeconds = new(int64(30))
	deployments := env.Client.AppsV1().Deployments(namespace)
	_, err := deployments.Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(replicas)), Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: spec},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	logs := s.podLogs(t, map[string]any{"namespace": namespace, "workload": "deployment/chorus"})
	var all transcript
	await := func(what string, is func() bool) {
		t.Helper()
		logs.until(t, what, func(b logBatch) bool {
			all.add(b)
			return is()
		})
	}
	await("brings lines of all pods", func() bool { return len(all.pods()) == replicas })
	old := all.pods()

	change := []byte(`{"spec":{"template":{"metadata":{"annotations":{"rolled":"over"}}}}}`)
	if _, err := deployments.Patch(t.Context(), name, types.MergePatchType, change, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	ended := func(pod string) bool {
		return slices.ContainsFunc(all.noticed("ENDED"), func(n logNotice) bool { return text(n.Pod) == pod })
	}
	await("is the last of the old pods' end and the new pods' beginning", func() bool {
		return ended(old[0]) && ended(old[1]) && len(all.pods()) == 2*replicas
	})
	for _, pod := range all.pods() {
		if ended(pod) != slices.Contains(old, pod) {
			t.Errorf("%s is one of the old pods %v, or has ended", pod, old)
		}
		checkNumbered(t, all, pod, len(all.lines))
	}
	checkNothingMissing(t, all)
}
