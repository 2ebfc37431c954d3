package podlogs

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"pullwatch/internal/podlog"
)

// logPod returns what of a pod matters to its logs.
func logPod(pod *corev1.Pod) podlog.Pod {
	p := podlog.Pod{
		Name:     pod.Name,
		UID:      string(pod.UID),
		Finished: pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed,
	}
	statuses := map[string]*corev1.ContainerStatus{}
	for _, list := range [][]corev1.ContainerStatus{
		pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses, pod.Status.EphemeralContainerStatuses,
	} {
		for i := range list {
			statuses[list[i].Name] = &list[i]
		}
	}
	for _, name := range containerNames(&pod.Spec) {
		c := podlog.Container{Name: name}
		if status, ok := statuses[name]; ok {
			setRuns(&c, status, p.Finished)
		} else {
			c.Waiting = unstarted(pod)
		}
		p.Containers = append(p.Containers, c)
	}
	return p
}

func containerNames(spec *corev1.PodSpec) []string {
	var names []string
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		names = append(names, c.Name)
	}
	for _, c := range spec.EphemeralContainers {
		names = append(names, c.Name)
	}
	return names
}

// setRuns finds the runs whose logs a kubelet gives for the current and for the previous run.
func setRuns(c *podlog.Container, status *corev1.ContainerStatus, podFinished bool) {
	current := status.RestartCount
	last := current - 1
	if status.State.Waiting != nil {
		last = current
	}
	if t := status.LastTerminationState.Terminated; t != nil {
		c.Previous = endedRun(t, status.Name, last)
	}
	switch state := status.State; {
	case state.Running != nil:
		c.Run = podlog.Run{
			ID: runID(status.ContainerID, status.Name, current), Running: !podFinished, Restarts: int(current),
			Started: state.Running.StartedAt.Time,
		}
	case state.Terminated != nil:
		c.Run = endedRun(state.Terminated, status.Name, current)
	default:
		c.Run = c.Previous
		c.Waiting = waitingReason(state.Waiting)
	}
}

func endedRun(t *corev1.ContainerStateTerminated, container string, restarts int32) podlog.Run {
	return podlog.Run{
		ID: runID(t.ContainerID, container, restarts), ExitCode: int(t.ExitCode), Reason: t.Reason, Restarts: int(restarts),
		NeverStarted: t.StartedAt.Unix() <= 0, // zero, or what the runtime writes for zero
		Started:      t.StartedAt.Time,
	}
}

// runID returns id, or a substitute for a container that the runtime could not create.
func runID(id, container string, restarts int32) string {
	if id != "" {
		return id
	}
	return fmt.Sprintf("%s#%d", container, restarts)
}

func waitingReason(w *corev1.ContainerStateWaiting) string {
	switch {
	case w == nil || w.Reason == "":
		return "it has not started yet"
	case w.Message == "":
		return w.Reason
	default:
		return w.Reason + ": " + w.Message
	}
}

// unstarted says why a pod's containers have no status yet.
func unstarted(pod *corev1.Pod) string {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return c.Reason + ": " + c.Message
		}
	}
	return "it has not started yet"
}
