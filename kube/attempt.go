package kube

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"pullwatch/internal/pull"
)

// record is what is kept on a Job of the last attempt of which anything is known, because an attempt's pod goes before
// its Job does: at the deadline, with its node, or by hand.
type record struct {
	Pod types.UID `json:"pod"`
	// Attempts is the number of attempts up to this one.
	Attempts int `json:"attempts"`
	// Ran is true once the copier was started; before that, Outcome says what it waits for.
	Ran bool `json:"ran"`
	// Ended is true once the attempt has ended; before that, Outcome is what is true of it should its pod vanish.
	Ended   bool         `json:"ended"`
	Outcome pull.Outcome `json:"outcome"`
	// Last is the last report that the copier made of how far it was.
	Last    pull.Report `json:"last,omitzero"`
	LogTail []string    `json:"logTail,omitempty"`
	// Before is the digest that the attempt before this one found the image to have, if it is known.
	Before string `json:"before,omitempty"`
	// Held is what the attempts before this one found at the destination's tag, as in pull.Outcome.
	Held string    `json:"held,omitempty"`
	Time time.Time `json:"time"`

	// final is true when the copier said that no attempt will ever succeed.
	final bool
}

// image returns the digest that the attempt found the image to have, empty if that is not known.
func (r *record) image() string { return cmp.Or(r.Outcome.Image, r.Last.Image) }

// held returns what of another image was at the destination's tag when the attempts looked, the newest first.
func (r *record) held() string { return cmp.Or(r.Outcome.Held, r.Last.Held, r.Held) }

// readRecord returns the record on the Job, nil when there is none that can be read.
func readRecord(job *batchv1.Job) *record {
	text := job.Annotations[annotationRecord]
	if text == "" {
		return nil
	}
	var r record
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return nil
	}
	return &r
}

// covers reports whether what was seen of an attempt is in the record.
func (r *record) covers(seen *record) bool {
	return r != nil && r.Pod == seen.Pod && r.Ran == seen.Ran && r.Ended == seen.Ended &&
		r.Outcome.Reason == seen.Outcome.Reason && r.Outcome.Digest == seen.Outcome.Digest
}

// lastEnd returns what is known of the newest attempt, from the record on the Job or, while that has not got it, from its
// pod and log; nil when nothing is. So it is the same for replicas that have and have not seen the pod or read its log.
func lastEnd(pods []*corev1.Pod, logs map[types.UID]copierLog, rec *record) *record {
	if len(pods) == 0 {
		return rec
	}
	newest := pods[len(pods)-1]
	end := evidence(newest, logs[newest.UID])
	switch {
	case end == nil:
		return rec
	case rec.covers(end):
		recorded := *rec
		recorded.final = end.final
		return &recorded
	case rec != nil && rec.Pod == newest.UID && len(end.LogTail) == 0:
		end.LogTail, end.Last = rec.LogTail, rec.Last
	}
	return end
}

// evidence returns what a pod tells that must outlive it: how its copier ended, or which error keeps it from starting.
// It returns nil while all is well.
func evidence(pod *corev1.Pod, log copierLog) *record {
	copier := copierStatus(pod)
	if lostSight(copier) {
		return nil
	}
	if pod.Status.Phase == corev1.PodFailed || (copier != nil && copier.State.Terminated != nil) {
		end := podEnd(pod, log)
		return &end
	}
	if copier != nil && copier.State.Running != nil {
		return nil
	}
	if out := waitingFor(pod); out.Reason != "" {
		return &record{Pod: pod.UID, Outcome: out}
	}
	return nil
}

// lostSight reports whether the kubelet does not know how the copier fared: so it says of one that it stops before it has
// started, and it overwrites with that what the copier was waiting for.
func lostSight(copier *corev1.ContainerStatus) bool {
	return copier != nil && copier.State.Terminated != nil && copier.State.Terminated.Reason == "ContainerStatusUnknown"
}

// podEnd tells how an attempt ended whose pod has failed or whose copier has terminated.
func podEnd(pod *corev1.Pod, log copierLog) record {
	end := record{Pod: pod.UID, Ran: true, Ended: true, Last: log.last, LogTail: slices.Clone(log.tail)}
	fail := func(reason pull.FailureReason, format string, args ...any) record {
		end.Outcome.Reason, end.Outcome.Message = reason, pull.Truncate(fmt.Sprintf(format, args...), pull.MaxFailureMessage)
		return end
	}
	copier := copierStatus(pod)
	if copier == nil || copier.State.Terminated == nil {
		// The kubelet gave the whole pod up: evicted, or its node is gone.
		end.Ran = copier != nil && started(copier)
		return fail(classifyText(pod.Status.Message, pull.Unknown), "The copier's pod failed (%s): %s",
			cmp.Or(pod.Status.Reason, "no reason given"), cmp.Or(pod.Status.Message, "no message given"))
	}
	t := copier.State.Terminated
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
	case pod.Status.Reason != "":
		return fail(classifyText(pod.Status.Message, pull.Unknown), "The copier's pod failed (%s): %s", pod.Status.Reason, pod.Status.Message)
	default:
		return fail(pull.Unknown, "The copier ended with exit code %d (%s) and left no message. %s", t.ExitCode, cmp.Or(t.Reason, "no reason given"), t.Message)
	}
}
