package kube

import (
	"cmp"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"pullwatch/pull"
)

// waitingFor says what a pod whose copier does not run yet is waiting for. Reason is empty while it is only a matter of
// time, and set when the kubelet or the scheduler reported an error.
func waitingFor(pod *corev1.Pod) pull.Outcome {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
			return pull.Outcome{Reason: pull.Unschedulable, Message: "No node can run the copier: " + c.Message}
		}
	}
	for _, statuses := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for _, c := range statuses {
			if c.State.Waiting != nil {
				if out := classifyWaiting(c.State.Waiting); out.Reason != "" {
					return out
				}
			}
		}
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

// textReasons are what kubelets, container runtimes and registries say, in the order in which they are looked for: the
// more telling first, because one message often holds several. Kubernetes hands these errors on as text only.
var textReasons = []struct {
	reason pull.FailureReason
	words  []string
}{
	{pull.Invalid, []string{"signaturevalidationfailed", "invalid reference format"}},
	{pull.RateLimited, []string{"toomanyrequests", "429 too many requests", "rate limit"}},
	{pull.DiskFull, []string{"no space left on device", "disk quota exceeded", "ephemeral-storage", "ephemeral storage", "diskpressure"}},
	{pull.TLS, []string{"x509:", "tls:", "certificate", "http response to https"}},
	{pull.NoPlatform, []string{"no match for platform", "no matching manifest", "exec format error"}},
	{pull.Unauthorized, []string{"unauthorized", "authorization failed", "access denied", "forbidden", "no basic auth"}},
	{pull.NotFound, []string{"not found", "manifest unknown", "name unknown"}},
	{pull.Network, []string{
		"registryunavailable", "dial tcp", "no such host", "i/o timeout", "connection refused", "connection reset", "network is unreachable",
		"no route to host", "deadline exceeded", "client.timeout", "unexpected eof", ": eof", "bad gateway", "service unavailable", "internal server error",
	}},
}

// classifyText finds the reason in a text written for people, otherwise when it knows none.
func classifyText(text string, otherwise pull.FailureReason) pull.FailureReason {
	text = strings.ToLower(text)
	for _, t := range textReasons {
		for _, word := range t.words {
			if strings.Contains(text, word) {
				return t.reason
			}
		}
	}
	return otherwise
}
