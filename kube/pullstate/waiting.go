package pullstate

import (
	"cmp"

	corev1 "k8s.io/api/core/v1"

	"pullwatch/internal/pull"
)

// waitingFor says what a pod whose copier does not run yet is waiting for. Reason is empty while it is only a matter of
// time, and set when the kubelet or the scheduler reported an error.
func waitingFor(pod *corev1.Pod) pull.Outcome {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
			return pull.Outcome{Reason: pull.Unschedulable, Message: "No node can run the copier: " + c.Message}
		}
	}
	if copier := CopierStatus(pod); copier != nil && copier.State.Waiting != nil {
		if out := classifyWaiting(copier.State.Waiting); out.Reason != "" {
			return out
		}
	}
	if out := waitingForOther(pod); out != nil {
		return *out
	}
	if pod.Spec.NodeName == "" && len(pod.Status.ContainerStatuses) == 0 {
		return pull.Outcome{Message: "Waits for a node."}
	}
	return pull.Outcome{Message: "Waits for its container to start."}
}

// waiting says what the newest attempt waits for, whose copier has not started. What its pod says now comes before what an event said,
// which is in the record.
func (v *View) waiting() pull.Outcome {
	if r := v.rec; r != nil && r.Pod == v.newest.pod.UID && r.Outcome.Reason != "" && v.newest.mayWaitFor(&r.Outcome) {
		return r.Outcome
	}
	return v.newest.waiting
}

// classifyWaiting translates a container's waiting state. The images of a pod are the operator's, not the one that is copied. Only the
// message tells when the node has no room left.
func classifyWaiting(w *corev1.ContainerStateWaiting) pull.Outcome {
	otherwise := pull.Unknown
	switch w.Reason {
	case "", "ContainerCreating", "PodInitializing":
		return pull.Outcome{}
	case "ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError", "RegistryUnavailable", "SignatureValidationFailed":
		otherwise = pull.CopierImage
	case "CreateContainerConfigError":
		otherwise = pull.Invalid
	}
	reason := classifyText(w.Message, otherwise)
	return pull.Outcome{Reason: reason, Message: "The copier cannot start: " + w.Reason + ": " + cmp.Or(w.Message, "no message given")}
}
