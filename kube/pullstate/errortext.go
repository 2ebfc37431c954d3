package pullstate

import (
	"cmp"
	"regexp"
	"strings"

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

// textReasons are phrases of kubelets, container runtimes and registries. Kubernetes hands these errors on as text only. A message
// often holds several phrases: the more telling ones come first. None can be a name by itself: pull.WithoutNames is for names
// of several words.
var textReasons = []struct {
	reason pull.FailureReason
	says   *regexp.Regexp
}{
	{pull.Invalid, anyOf(`signaturevalidationfailed:`, `invalid reference format`)},
	{pull.RateLimited, anyOf(`toomanyrequests:`, `429 too many requests`, `rate limit`)},
	{pull.DiskFull, anyOf(`no space left on device`, `disk quota exceeded`, `low on resource: ephemeral-storage`, `ephemeral (?:local )?storage`,
		`condition: \[?diskpressure`, `insufficient ephemeral-storage`)},
	{pull.TLS, anyOf(`x509:`, `tls:`, `failed to verify certificate`, `certificate (?:signed by|has expired|is valid for|is not)`,
		`http response to https`)},
	{pull.NoPlatform, anyOf(`no match for platform`, `no matching manifest`, `exec format error`)},
	{pull.Unauthorized, anyOf(`401 unauthorized`, `unauthorized:`, `: unauthorized`, `authorization failed`, `access denied`, `403 forbidden`,
		`: forbidden`, `no basic auth`, `authentication required`)},
	{pull.NotFound, anyOf(`not found`, `manifest unknown`, `name unknown`)},
	{pull.Network, anyOf(`registryunavailable:`, `dial tcp`, `no such host`, `i/o timeout`, `connection refused`, `connection reset`,
		`network is unreachable`, `no route to host`, `deadline exceeded`, `exceeded while awaiting headers`, `unexpected eof`, `: eof`,
		`bad gateway`, `service unavailable`, `internal server error`)},
}

func anyOf(phrases ...string) *regexp.Regexp {
	return regexp.MustCompile(`(?:^|[^\pL\pN])(?:` + strings.Join(phrases, "|") + `)`)
}

// classifyText finds the reason in a text written for people. It returns otherwise when it finds none.
func classifyText(text string, otherwise pull.FailureReason) pull.FailureReason {
	text = pull.WithoutNames(text)
	for _, t := range textReasons {
		if t.says.MatchString(text) {
			return t.reason
		}
	}
	return otherwise
}
