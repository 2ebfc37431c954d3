package pullstate

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"pullwatch/internal/pull"
)

// attempt is one pod of a pull.
type attempt struct {
	pod *corev1.Pod
	// copier is the status of the copier's container, nil until the kubelet has reported it.
	copier *corev1.ContainerStatus
	log    Log
}

// CopierStatus returns the status of the copier's container in a pod, nil until the kubelet has reported it.
func CopierStatus(pod *corev1.Pod) *corev1.ContainerStatus {
	for i := range pod.Status.ContainerStatuses {
		if c := &pod.Status.ContainerStatuses[i]; c.Name == pull.ContainerName {
			return c
		}
	}
	return nil
}

func (a *attempt) running() bool { return a.copier != nil && a.copier.State.Running != nil }

// terminated returns how the copier's container ended, nil while it has not.
func (a *attempt) terminated() *corev1.ContainerStateTerminated {
	if a.copier == nil {
		return nil
	}
	return a.copier.State.Terminated
}

// started reports whether the copier was ever started.
func (a *attempt) started() bool {
	t := a.terminated()
	return a.running() || (t != nil && !t.StartedAt.IsZero())
}

// podEnded reports whether the pod will not run again.
func (a *attempt) podEnded() bool {
	phase := a.pod.Status.Phase
	return phase == corev1.PodFailed || phase == corev1.PodSucceeded || a.terminated() != nil
}

// unknown reports whether the kubelet does not know how the copier fared. The kubelet says so of a copier that it stops
// before the start, and overwrites with that what the copier was waiting for.
func (a *attempt) unknown() bool {
	t := a.terminated()
	return t != nil && t.Reason == "ContainerStatusUnknown"
}

// record returns what must outlive the pod: how its copier ended, or which error keeps it from starting. It returns nil while
// all is well.
func (a *attempt) record() *Record {
	switch {
	case a.unknown():
		return nil
	case a.pod.Status.Phase == corev1.PodFailed || a.terminated() != nil:
		end := a.endRecord()
		return &end
	case a.running():
		return nil
	}
	if out := waitingFor(a.pod); out.Reason != "" {
		return &Record{Pod: a.pod.UID, Outcome: out}
	}
	return nil
}

// endRecord returns how an attempt ended whose pod has failed or whose copier has terminated.
func (a *attempt) endRecord() Record {
	end := Record{Pod: a.pod.UID, Ran: true, Ended: true, Last: a.log.Last, LogTail: slices.Clone(a.log.Tail)}
	fail := func(reason pull.FailureReason, format string, args ...any) Record {
		end.Outcome.Reason, end.Outcome.Message = reason, pull.Truncate(fmt.Sprintf(format, args...), pull.MaxFailureMessage)
		return end
	}
	status, t := a.pod.Status, a.terminated()
	if t == nil {
		// The kubelet gave the whole pod up: evicted, or its node is gone.
		end.Ran = a.started()
		return fail(classifyText(status.Message, pull.Unknown), "The copier's pod failed (%s): %s",
			cmp.Or(status.Reason, "no reason given"), cmp.Or(status.Message, "no message given"))
	}
	end.final = t.ExitCode == pull.ExitPermanent
	end.Time = t.FinishedAt.UTC()
	if err := json.Unmarshal([]byte(t.Message), &end.Outcome); err == nil && (end.Outcome.Reason != "" || t.ExitCode == pull.ExitDone) {
		return end
	}
	end.Outcome = pull.Outcome{}
	switch {
	case t.ExitCode == pull.ExitDone:
		return end
	case t.StartedAt.IsZero() || t.Reason == "StartError" || t.Reason == "ContainerCannotRun":
		end.Ran = false
		return fail(pull.Invalid, "The copier could not be started (%s): %s", t.Reason, t.Message)
	case t.Reason == "OOMKilled":
		return fail(pull.Unknown, "The copier was killed because it ran out of memory: raise its limit in --job-template.")
	case status.Reason != "":
		return fail(classifyText(status.Message, pull.Unknown), "The copier's pod failed (%s): %s", status.Reason, status.Message)
	default:
		return fail(pull.Unknown, "The copier ended with exit code %d (%s) and left no message. %s", t.ExitCode, cmp.Or(t.Reason, "no reason given"), t.Message)
	}
}
