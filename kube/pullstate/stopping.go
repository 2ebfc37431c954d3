package pullstate

import (
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"pullwatch/internal/pull"
)

// stopping says, in sentences for people, why an attempt that has not ended will not go on for long; empty if it will.
func (v *View) stopping(a *attempt) string {
	var parts []string
	switch {
	case a.ended:
		return ""
	case v.failing != nil:
		parts = append(parts, v.failingMessage())
	case a.pod.DeletionTimestamp != nil && disruption(a.pod) != "":
		parts = append(parts, "Kubernetes stops its copier: "+disruption(a.pod))
	case a.pod.DeletionTimestamp != nil:
		parts = append(parts, "Its pod is being removed.")
	case v.job.DeletionTimestamp != nil:
		parts = append(parts, "Its Job was deleted. When the attempt that runs has ended, no other one starts.")
	}
	if nodeLost(a.pod) {
		parts = append(parts, "Its node "+a.pod.Spec.NodeName+" does not answer.")
	}
	return strings.Join(parts, " ")
}

// failingMessage says why a Job is about to fail. How an attempt that has started will end is not known yet.
func (v *View) failingMessage() string {
	why := v.failing.Message
	switch {
	case v.attemptCount == 0:
		why = failureOf(v.job, v.failing, v.end, false).Message
	case v.failing.Reason == batchv1.JobReasonDeadlineExceeded:
		why = "Did not finish" + inTime(v.job, v.failing, v.end) + "."
	}
	return "Failed, ending: " + why
}

// nodeLost reports whether the node of a pod whose containers run has stopped answering. The node controller then takes back that the
// pod is ready. It gives no reason, as every kubelet does.
func nodeLost(pod *corev1.Pod) bool {
	copier := CopierStatus(pod)
	if copier == nil || copier.State.Running == nil {
		return false
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionFalse && c.Reason == ""
		}
	}
	return false
}

// disruption returns what Kubernetes says of why it stops a pod that could go on, such as an eviction; empty if it does not.
func disruption(pod *corev1.Pod) string {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue {
			return strings.TrimSpace("(" + c.Reason + ") " + c.Message)
		}
	}
	return ""
}

// abandoned reports whether nothing will come any more of a pull whose Job was deleted and still exists: Kubernetes starts no pods for
// such a Job, and what keeps it, a finalizer, may keep it for ever.
func (v *View) abandoned() bool {
	if _, givenUp := GivenUp(v.job); givenUp || v.job.DeletionTimestamp == nil || v.complete != nil || v.failed != nil || v.failing != nil ||
		Condition(v.job, batchv1.JobSuccessCriteriaMet) != nil || v.job.Status.Active > 0 {
		return false
	}
	for i := range v.attempts {
		if !v.attempts[i].ended {
			return false
		}
	}
	return !v.end.copied() // such a Job becomes complete, or the leader ends it
}

// lost returns the last state of a pull that is abandoned. s is what it would be otherwise.
func (v *View) lost(s *pull.State) *pull.State {
	lost := pull.LostState(s)
	lost.Failure.Message = "Its Job was deleted although it had not ended. The Job still exists, and nothing more is copied."
	if names := v.job.Finalizers; len(names) > 0 {
		lost.Failure.Message += " It is kept by its finalizers: " + strings.Join(names, ", ") + "."
	}
	lost.Message = lost.Failure.Message
	return lost
}
