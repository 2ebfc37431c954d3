package pullstate

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"pullwatch/internal/pull"
)

// A pull's pod is made with one container, the copier. A cluster may add others: service meshes do, and agents that bring secrets.
// Kubernetes ends a pod, and with it the Job, when all of its containers have ended. For a pull, the end of the copier decides.

// settleTime is how long the other containers of a pod may take to end once the copier has ended. It is longer than the pod's
// grace period, in which the kubelet ends native sidecars.
const settleTime = 10 * time.Second

// copied reports whether the record tells of an attempt that has copied the image.
func (r *Record) copied() bool { return r != nil && r.Ran && r.Ended && r.Outcome.Reason == "" }

// Decided reports whether it is written on the Job that the image is copied. What comes after that is not to be written.
func (v *View) Decided() bool { return v.rec.copied() }

// copied returns the record of the first attempt that has copied the image, nil when none has. No other attempt counts after it.
func (v *View) copied() *Record {
	if v.rec.copied() {
		return v.rec
	}
	for _, a := range v.attempts {
		if a.record.copied() {
			return a.record
		}
	}
	return nil
}

// Unsettled reports whether the image is copied although the Job goes on: containers besides the copier have not ended, have failed,
// or the pod was deleted. At due, the Job is to be ended, once, with the record end. Set its Time before you write it.
func (v *View) Unsettled() (end *Record, due time.Time, unsettled bool) {
	if v.copied() == nil || (v.rec != nil && v.rec.Settled) || v.canceledAt != nil || v.complete != nil || v.failed != nil || v.failing != nil {
		return nil, due, false
	}
	end = v.rec
	if !end.copied() {
		if end = v.Unwritten(); !end.copied() {
			return nil, due, false // how an attempt before it ended has to be written first
		}
	}
	recorded := v.rec.copied()
	ending := *end
	ending.Settled = true
	for _, a := range v.attempts {
		if a.pod.UID != end.Pod {
			continue
		}
		if a.pod.Status.Phase == corev1.PodSucceeded {
			return nil, due, false
		}
		if a.terminated != nil && a.pod.Status.Phase != corev1.PodFailed {
			due = a.terminated.FinishedAt.Add(settleTime)
			if recorded { // by the leader's clock; the node's may be wrong
				due = v.rec.Time.Add(settleTime)
			}
		}
		ending.Others = a.others()
	}
	return &ending, due, true
}

// others says which containers besides the copier run or have failed, for people; empty for none.
func (a *attempt) others() string {
	var all []string
	for _, c := range otherContainers(a.pod) {
		switch t := c.State.Terminated; {
		case t != nil && t.ExitCode != 0:
			all = append(all, fmt.Sprintf("%s (%s)", c.Name, exit(t)))
		case c.State.Running != nil:
			all = append(all, c.Name)
		}
	}
	return strings.Join(all, ", ")
}

// otherContainers returns the status of each container of a pod but the copier.
func otherContainers(pod *corev1.Pod) []corev1.ContainerStatus {
	var all []corev1.ContainerStatus
	for _, statuses := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for _, c := range statuses {
			if c.Name != pull.ContainerName {
				all = append(all, c)
			}
		}
	}
	return all
}

// failedContainer returns how a container besides the copier ended that failed before the copier could start, nil when none did.
func failedContainer(pod *corev1.Pod) *corev1.ContainerStatus {
	for _, c := range otherContainers(pod) {
		if t := c.State.Terminated; t != nil && t.ExitCode != 0 && t.Reason != "ContainerStatusUnknown" {
			return &c
		}
	}
	return nil
}

// exit says how a container ended.
func exit(t *corev1.ContainerStateTerminated) string {
	text := fmt.Sprintf("exit code %d", t.ExitCode)
	if t.Reason != "" && t.Reason != "Error" {
		text += ", " + t.Reason
	}
	if t.Message != "" {
		text += ": " + t.Message
	}
	return text
}

// foreign introduces a container besides the copier.
func foreign(name string) string { return "the container " + name + ", which is not pullwatch's," }

// waitingForOther says which container besides the copier keeps it from starting, nil when none is known to.
func waitingForOther(pod *corev1.Pod) *pull.Outcome {
	for _, c := range otherContainers(pod) {
		if w := c.State.Waiting; w != nil {
			if out := classifyWaiting(w); out.Reason != "" {
				return &pull.Outcome{Reason: classifyText(w.Message, pull.OtherContainer), Message: fmt.Sprintf("The copier cannot start: %s cannot: %s: %s",
					foreign(c.Name), w.Reason, cmp.Or(w.Message, "no message given"))}
			}
		}
	}
	for _, c := range pod.Status.InitContainerStatuses {
		if c.State.Running != nil && (c.Started == nil || !*c.Started) {
			return &pull.Outcome{Message: "Waits for " + foreign(c.Name) + " to do its work first."}
		}
	}
	return nil
}
