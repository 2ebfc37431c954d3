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
		Reason:   podReason(pod),
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
		if p.Finished && c.Run.ID == "" {
			c.Waiting, c.NeverRan = "", neverRan(pod, p.Reason)
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
		c.Looping = state.Waiting != nil && state.Waiting.Reason == crashLoop
	}
	if c.Run.Lost && c.Previous.Lost { // the node tells the same loss in both places
		c.Previous = c.Run
	}
}

// statusUnknown is the reason of the end of a container that its node has lost.
const statusUnknown = "ContainerStatusUnknown"

// keepLost finds out which runs a node has lost, by what the pod was before. The node does not tell their IDs, and counts them as
// restarts: each is the last run that was known to run.
func keepLost(p, before *podlog.Pod) {
	for i := range p.Containers {
		now := &p.Containers[i]
		j := slices.IndexFunc(before.Containers, func(c podlog.Container) bool { return c.Name == now.Name })
		if j < 0 {
			continue
		}
		known := before.Containers[j].Run
		if now.Run.ID == known.ID && !now.Run.Lost {
			known = before.Containers[j].Previous
		}
		for _, run := range []*podlog.Run{&now.Run, &now.Previous} {
			if run.Lost && (known.Running || known.Lost) {
				run.ID, run.Restarts, run.Started = known.ID, known.Restarts, known.Started
			}
		}
	}
}

// crashLoop is the reason why a container waits that ends again and again.
const crashLoop = "CrashLoopBackOff"

func endedRun(t *corev1.ContainerStateTerminated, container string, restarts int32) podlog.Run {
	run := podlog.Run{
		ID: runID(t.ContainerID, container, restarts), ExitCode: int(t.ExitCode), Reason: t.Reason, Restarts: int(restarts),
		Lost:    t.Reason == statusUnknown && t.ContainerID == "",
		Started: t.StartedAt.Time,
	}
	run.NeverStarted = !run.Lost && t.StartedAt.Unix() <= 0 // zero, or what the runtime writes for zero
	// What a process leaves as its termination message is no reason of the cluster.
	if run.NeverStarted || run.Lost {
		run.Message = t.Message
	}
	return run
}

// runID returns id, or a substitute for a container that the runtime could not create.
func runID(id, container string, restarts int32) string {
	if id != "" {
		return id
	}
	return fmt.Sprintf("%s#%d", container, restarts)
}

func waitingReason(w *corev1.ContainerStateWaiting) string {
	if w == nil || w.Reason == "" {
		return "it has not started yet"
	}
	return withMessage(w.Reason, w.Message)
}

func withMessage(reason, message string) string {
	if reason == "" || message == "" {
		return reason + message
	}
	return reason + ": " + message
}

// podReason is podlog.Pod.Reason. What removes a pod by force, such as a preemption, notes that in a condition.
func podReason(pod *corev1.Pod) string {
	if pod.Status.Reason != "" || pod.Status.Message != "" {
		return withMessage(pod.Status.Reason, pod.Status.Message)
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue {
			return withMessage(c.Reason, c.Message)
		}
	}
	return ""
}

// neverRan says why a container of a finished pod has not run.
func neverRan(pod *corev1.Pod, reason string) string {
	if reason != "" {
		return reason
	}
	for _, status := range pod.Status.InitContainerStatuses {
		if t := status.State.Terminated; t != nil && t.ExitCode != 0 {
			return fmt.Sprintf("init container %s has failed with exit code %d (%s)", status.Name, t.ExitCode,
				withMessage(t.Reason, t.Message))
		}
	}
	return "its pod has ended before"
}

// unstarted says why a pod's containers have no status yet.
func unstarted(pod *corev1.Pod) string {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return withMessage(c.Reason, c.Message)
		}
	}
	return "it has not started yet"
}
