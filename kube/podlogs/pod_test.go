package podlogs

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pullwatch/internal/podlog"
)

func TestARunOfAContainerIsFoundInItsStatus(t *testing.T) {
	crashed := endedState("1", 1, "Error")
	crashLoop := waitingState("CrashLoopBackOff", "back-off 10s")
	crashLoop.LastTerminationState = crashed.State
	restarted := runningState("2")
	restarted.RestartCount = 1
	restarted.LastTerminationState = crashed.State
	first := podlog.Run{ID: "1", ExitCode: 1, Reason: "Error", Started: time.Unix(1, 0)}
	now := runningState("1")
	now.State.Running.StartedAt = metav1.Unix(2, 0)
	for _, test := range []struct {
		name   string
		phase  corev1.PodPhase
		status corev1.ContainerStatus
		want   podlog.Container
	}{
		{"no reason", corev1.PodPending, corev1.ContainerStatus{}, podlog.Container{Waiting: "it has not started yet"}},
		{"waiting", corev1.PodPending, waitingState("ErrImagePull", ""), podlog.Container{Waiting: "ErrImagePull"}},
		{"waiting with message", corev1.PodPending, waitingState("ErrImagePull", "not found"),
			podlog.Container{Waiting: "ErrImagePull: not found"}},
		{"running", corev1.PodRunning, now,
			podlog.Container{Run: podlog.Run{ID: "1", Running: true, Started: time.Unix(2, 0)}}},
		{"pod failed while its node is away", corev1.PodFailed, runningState("1"), podlog.Container{Run: podlog.Run{ID: "1"}}},
		{"ended", corev1.PodRunning, crashed, podlog.Container{Run: first}},
		{"ended without an ID", corev1.PodFailed, endedState("", 128, "StartError"),
			podlog.Container{Run: podlog.Run{ID: "app#0", ExitCode: 128, Reason: "StartError", NeverStarted: true}}},
		{"ended with its own message", corev1.PodRunning, withMessageOf(crashed, "its own words"), podlog.Container{Run: first}},
		{"not started, with the runtime's message", corev1.PodFailed, withMessageOf(endedState("", 128, "StartError"), "no such file"),
			podlog.Container{Run: podlog.Run{ID: "app#0", ExitCode: 128, Reason: "StartError", NeverStarted: true, Message: "no such file"}}},
		{"crash loop", corev1.PodRunning, crashLoop,
			podlog.Container{Run: first, Previous: first, Waiting: "CrashLoopBackOff: back-off 10s", Looping: true}},
		{"restarted", corev1.PodRunning, restarted,
			podlog.Container{Run: podlog.Run{ID: "2", Running: true, Restarts: 1}, Previous: first}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.want.Name = "app"
			if got := logPod(logTestPod("web", test.phase, test.status)).Containers; !slices.Equal(got, []podlog.Container{test.want}) {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func withMessageOf(status corev1.ContainerStatus, message string) corev1.ContainerStatus {
	ended := *status.State.Terminated
	ended.Message = message
	status.State.Terminated = &ended
	return status
}

func TestAPodSaysWhyItFailedAndWhyAContainerNeverRan(t *testing.T) {
	const never = "PodInitializing"
	failedInit := endedState("1", 3, "Error")
	failedInit.Name = "init"
	for _, test := range []struct {
		name             string
		status           corev1.PodStatus
		reason, neverRan string
	}{
		{"rejected by its node", corev1.PodStatus{Phase: corev1.PodFailed, Reason: "OutOfcpu", Message: "no room"}, "OutOfcpu: no room",
			"OutOfcpu: no room"},
		{"past its deadline", corev1.PodStatus{Phase: corev1.PodFailed, Reason: "DeadlineExceeded"}, "DeadlineExceeded", "DeadlineExceeded"},
		{"an init container failed", corev1.PodStatus{Phase: corev1.PodFailed, InitContainerStatuses: []corev1.ContainerStatus{failedInit}},
			"", "init container init has failed with exit code 3 (Error)"},
		{"preempted", corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{
			Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "PreemptionByScheduler", Message: "by another pod",
		}}}, "PreemptionByScheduler: by another pod", ""},
		{"it still waits", corev1.PodStatus{Phase: corev1.PodPending}, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			waits := waitingState(never, "")
			waits.Name = "app"
			test.status.ContainerStatuses = []corev1.ContainerStatus{waits}
			got := logPod(&corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app"}}}, Status: test.status})
			c := got.Containers[0]
			if got.Reason != test.reason || c.NeverRan != test.neverRan || (c.Waiting == never) != (test.neverRan == "") {
				t.Errorf("got %q; container %+v", got.Reason, c)
			}
		})
	}
}

func TestContainersComeInTheOrderInWhichTheyRun(t *testing.T) {
	pod := &corev1.Pod{
		Spec: corev1.PodSpec{
			EphemeralContainers: []corev1.EphemeralContainer{
				{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug"}},
			},
			Containers:     []corev1.Container{{Name: "app"}},
			InitContainers: []corev1.Container{{Name: "init"}},
		},
		Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/1 nodes fit",
		}}},
	}
	var names []string
	for _, c := range logPod(pod).Containers {
		names = append(names, c.Name)
		if c.Waiting != "Unschedulable: 0/1 nodes fit" {
			t.Errorf("%s waits because %q", c.Name, c.Waiting)
		}
	}
	if want := []string{"init", "app", "debug"}; !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
}

// A node that has lost a container tells of its end without its ID, and counts a restart. Both places then mean the same run.
func TestARunThatItsNodeHasLostKeepsItsID(t *testing.T) {
	const unknown = "ContainerStatusUnknown"
	lost, waits, again := endedState("", 137, unknown), waitingState("PodInitializing", ""), runningState("2")
	for _, status := range []*corev1.ContainerStatus{&lost, &waits, &again} {
		status.RestartCount = 1
		status.LastTerminationState = endedState("", 137, unknown).State
	}
	ended := endedState("2", 0, "Completed")
	ended.RestartCount, ended.LastTerminationState = 1, again.LastTerminationState
	first, isLost := podlog.Run{ID: "1", Running: true}, podlog.Run{ID: "1", ExitCode: 137, Reason: unknown, Lost: true}
	second := podlog.Run{ID: "2", Restarts: 1, Running: true}
	over := podlog.Run{ID: "2", Restarts: 1, Reason: "Completed", Started: time.Unix(1, 0)}
	seen := podlog.Run{ID: "app#1", Restarts: 1, ExitCode: 137, Reason: unknown, Lost: true}
	type step struct {
		status        corev1.ContainerStatus
		run, previous podlog.Run
	}
	for name, steps := range map[string][]step{
		"evicted":           {{runningState("1"), first, podlog.Run{}}, {lost, isLost, isLost}, {lost, isLost, isLost}},
		"restarted":         {{runningState("1"), first, podlog.Run{}}, {waits, isLost, isLost}, {again, second, isLost}, {again, second, isLost}, {ended, over, isLost}},
		"restarted at once": {{runningState("1"), first, podlog.Run{}}, {again, second, isLost}},
		"seen only later":   {{lost, seen, seen}, {lost, seen, seen}},
	} {
		t.Run(name, func(t *testing.T) {
			var before podlog.Pod
			for i, s := range steps {
				now := logPod(logTestPod("web", corev1.PodRunning, s.status))
				keepLost(&now, &before)
				if c := now.Containers[0]; c.Run != s.run || c.Previous != s.previous {
					t.Errorf("step %d: got %+v after %+v, want %+v after %+v", i, c.Run, c.Previous, s.run, s.previous)
				}
				before = now
			}
		})
	}
}
