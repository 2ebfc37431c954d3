package pullstate

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"pullwatch/internal/pull"
)

// attempt is one pod of a pull, and what follows from its status.
type attempt struct {
	pod *corev1.Pod
	log Log
	// copier is the status of the copier's container, nil until the kubelet has reported it.
	copier *corev1.ContainerStatus
	// started is true once the copier was ever started. running is true while it runs.
	started, running bool
	// terminated tells how the copier's container ended, nil while it has not or that is not known.
	terminated *corev1.ContainerStateTerminated
	// unknown is true when the kubelet does not know how the copier fared. It says so of a copier that it stops before the start, and
	// of one whose container it has lost. That overwrites what the copier was waiting for, and that it was started.
	unknown bool
	// ended is true once the copier will not run again.
	ended bool
	// waiting says what a copier waits for that neither runs nor has ended.
	waiting pull.Outcome
	// record is what must outlive the pod: how its copier ended, or which error keeps it from starting. It is nil while all
	// is well.
	record *Record
}

func readAttempt(pod *corev1.Pod, log Log) attempt {
	a := attempt{pod: pod, log: log, copier: CopierStatus(pod)}
	if a.copier != nil {
		a.running, a.terminated = a.copier.State.Running != nil, a.copier.State.Terminated
	}
	a.started = a.running || (a.terminated != nil && !a.terminated.StartedAt.IsZero()) || len(log.Tail) > 0
	if a.terminated != nil && a.terminated.Reason == "ContainerStatusUnknown" {
		a.unknown, a.terminated = true, nil
	}
	a.ended = podEnded(pod)
	switch {
	case a.unknown && stopped(pod).Reason == "":
	case pod.Status.Phase == corev1.PodFailed || a.terminated != nil:
		a.record = a.endRecord()
	case !a.running:
		if a.waiting = waitingFor(pod); a.waiting.Reason != "" {
			a.record = &Record{Pod: pod.UID, Outcome: a.waiting}
		}
	}
	return a
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

// endRecord returns how an attempt ended whose pod has failed or whose copier has terminated.
func (a *attempt) endRecord() *Record {
	end := &Record{Pod: a.pod.UID, Ran: true, Ended: true, Last: a.log.Last, LogTail: slices.Clone(a.log.Tail)}
	fail := func(reason pull.FailureReason, format string, args ...any) *Record {
		end.Outcome.Reason, end.Outcome.Message = reason, pull.Truncate(fmt.Sprintf(format, args...), pull.MaxFailureMessage)
		return end
	}
	t := a.terminated
	if t == nil {
		// The kubelet gave the whole pod up: evicted, or its node is gone.
		end.Ran = a.started
		why := stopped(a.pod)
		if c := failedContainer(a.pod); c != nil && why.Reason == "" {
			return fail(pull.OtherContainer, "The copier could not start: %s failed (%s).", foreign(c.Name), exit(c.State.Terminated))
		}
		return fail(cmp.Or(why.Reason, pull.Unknown), "%s", cmp.Or(why.Message, "The copier's pod failed, and nothing says why."))
	}
	end.final = t.ExitCode == pull.ExitPermanent
	end.Time = t.FinishedAt.UTC()
	said := json.Unmarshal([]byte(t.Message), &end.Outcome) == nil && (end.Outcome.Reason != "" || t.ExitCode == pull.ExitDone)
	if !said {
		end.Outcome = pull.Outcome{}
	}
	switch why := stopped(a.pod); {
	case t.ExitCode == pull.ExitDone:
		return end
	case t.Reason == "OOMKilled":
		return fail(pull.OutOfMemory, "The copier was killed because it ran out of memory.")
	case why.Reason != "" && !end.final:
		// The copier itself knows only that it was told to stop.
		return fail(why.Reason, "%s", why.Message)
	case said:
		return end
	case t.StartedAt.IsZero() || t.Reason == "StartError" || t.Reason == "ContainerCannotRun":
		end.Ran = false
		return fail(pull.Invalid, "The copier could not be started (%s): %s", t.Reason, t.Message)
	default:
		return fail(pull.Unknown, "The copier ended with exit code %d (%s) and left no message. %s", t.ExitCode, cmp.Or(t.Reason, "no reason given"), t.Message)
	}
}

// stopped returns why Kubernetes stopped a pod; no reason if it did not.
func stopped(pod *corev1.Pod) pull.Outcome {
	text := disruption(pod)
	if status := pod.Status; status.Reason != "" || status.Message != "" {
		text = "(" + cmp.Or(status.Reason, "no reason given") + ") " + cmp.Or(strings.TrimSpace(status.Message), "no message given")
	}
	if text == "" {
		return pull.Outcome{}
	}
	return pull.Outcome{Reason: classifyText(text, pull.Evicted), Message: "Kubernetes stopped the copier: " + text}
}
