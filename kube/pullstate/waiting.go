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

// classifyWaiting translates a container's waiting state. Of most reasons, ErrImagePull and ImagePullBackOff above all, only
// the message tells what is wrong.
func classifyWaiting(w *corev1.ContainerStateWaiting) pull.Outcome {
	var reason pull.FailureReason
	switch w.Reason {
	case "", "ContainerCreating", "PodInitializing":
		return pull.Outcome{}
	case "InvalidImageName", "CreateContainerConfigError", "SignatureValidationFailed":
		reason = pull.Invalid
	case "ErrImageNeverPull":
		reason = pull.NotFound
	default:
		reason = classifyText(w.Message, pull.Unknown)
	}
	return pull.Outcome{Reason: reason, Message: "The copier cannot start: " + w.Reason + ": " + cmp.Or(w.Message, "no message given")}
}
