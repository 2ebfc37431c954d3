package pullstate

import (
	"regexp"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"pullwatch/internal/pull"
)

// Warning is what an event of Kubernetes says of a Job or a pod. Events are gone after an hour, and not every replica reads them.
// So no state is made from a Warning: the leader writes it on the Job, in a Record, and states are made from that.
type Warning struct {
	// Reason is the event's reason, such as FailedMount.
	Reason, Message string
	// Time is when it was last seen.
	Time time.Time
}

// ReadWarning returns the Warning in an event, nil when the event tells of nothing that keeps a pod from being created or from
// starting. What the status of a pod tells as well, such as ImagePullBackOff, is not among it.
func ReadWarning(event *corev1.Event) *Warning {
	if event.Type != corev1.EventTypeWarning {
		return nil
	}
	if w := warnings[event.Reason]; w.of != event.InvolvedObject.Kind {
		return nil
	}
	return &Warning{Reason: event.Reason, Message: event.Message, Time: seenAt(event)}
}

// seenAt returns when an event was last seen. There are events of two kinds.
func seenAt(event *corev1.Event) time.Time {
	at := event.LastTimestamp.Time
	if event.Series != nil {
		at = event.Series.LastObservedTime.Time
	}
	if at.IsZero() {
		at = event.EventTime.Time
	}
	return at
}

// mountPause is more than the longest pause after which a kubelet tries to mount a volume again.
const mountPause = 3 * time.Minute

// MoreTelling returns w, or the Warning before it about the same object: when w only says that the same took too long, or is about
// another volume. A kubelet warns of each volume that is missing in turn; that of the first one stays until it no longer comes.
func (w *Warning) MoreTelling(before *Warning) *Warning {
	switch {
	case before == nil, before.Reason != w.Reason, before.Message == w.Message:
	case strings.Contains(w.Message, "unmounted volumes=["):
		merged := *before
		merged.Time = w.Time
		return &merged
	case warnings[w.Reason].reason == pull.Volume && w.Time.Sub(before.Time) < mountPause:
		return before
	}
	return w
}

// failedCreate is the reason of the Job controller's events that tell why it cannot create a pod.
const failedCreate = "FailedCreate"

// warnings are the events that count, by reason: the kind of object that they are about, and why a pull fails that never gets
// over it.
var warnings = map[string]struct {
	of     string
	reason pull.FailureReason
}{
	failedCreate:                    {"Job", pull.Refused},
	"FailedScheduling":              {"Pod", pull.Unschedulable},
	"FailedMount":                   {"Pod", pull.Volume},
	"FailedAttachVolume":            {"Pod", pull.Volume},
	"FailedMapVolume":               {"Pod", pull.Volume},
	"FailedCreatePodSandBox":        {"Pod", pull.Node},
	"FailedCreatePodContainer":      {"Pod", pull.Node},
	"NetworkNotReady":               {"Pod", pull.Node},
	"FailedPrepareDynamicResources": {"Pod", pull.Node},
	"FailedValidation":              {"Pod", pull.Invalid},
}

// creating matches how the Job controller's message begins. The rest is what the API server said of a pod, whose name is a new one
// each time.
var creating = regexp.MustCompile(`^Error creating: (?:pods "[^"]*" is forbidden: |Pod "[^"]*" is invalid: )?`)

// outcome returns how the attempt fares that the Warning is about.
func (w *Warning) outcome() *pull.Outcome {
	out := &pull.Outcome{Reason: warnings[w.Reason].reason}
	if out.Reason == pull.Node || out.Reason == pull.Volume { // the kubelet's words
		out.Reason = classifyText(w.Message, out.Reason)
	}
	if w.Reason != failedCreate {
		out.Message = "The copier cannot start: " + w.Reason + ": " + w.Message
	} else {
		said := creating.ReplaceAllString(w.Message, "")
		out.Message = "Its pod cannot be created: " + said
		// Quotas and limits say no more than these words. No name can be in front of them.
		if strings.HasPrefix(said, "exceeded quota: ") || strings.HasPrefix(said, "failed quota: ") {
			out.Reason = pull.Quota
		}
	}
	out.Message = pull.Truncate(out.Message, pull.MaxFailureMessage)
	return out
}

// Warned returns what is to be written on the Job because it, or its newest pod, cannot start as the events say; nil when nothing
// is. latest returns the latest Warning about an object, nil for none. Set the Record's Time before you write it.
func (v *View) Warned(latest func(types.UID) *Warning) *Record {
	if v.canceledAt != nil || v.complete != nil || v.failed != nil || v.failing != nil ||
		(v.job.Spec.Suspend != nil && *v.job.Spec.Suspend) {
		return nil
	}
	n, rec := v.newest, v.rec
	if n != nil && !n.ended {
		w := latest(n.pod.UID)
		if w == nil || !n.mayWaitFor(w.outcome()) || (rec != nil && rec.Pod == n.pod.UID && sameWords(&rec.Outcome, w.outcome())) {
			return nil
		}
		return v.unwritten(&Record{Pod: n.pod.UID, Outcome: *w.outcome()})
	}
	w := latest(v.job.UID)
	if w == nil || v.pastFor(w.Time) || sameWords(rec.next(), w.outcome()) {
		return nil
	}
	if n != nil && (rec == nil || rec.Pod != n.pod.UID) {
		return nil // how that attempt ended has to be written first
	}
	warned := &Record{}
	if rec != nil {
		*warned = *rec
	}
	warned.Next = w.outcome()
	return warned
}

// pastFor reports whether a Warning about the Job of that time is about a pod that could be created since, or about the time before
// the Job left the queue.
func (v *View) pastFor(at time.Time) bool {
	switch {
	case v.job.Status.StartTime != nil && at.Before(v.job.Status.StartTime.Time):
		return true
	case v.newest != nil && !at.After(v.newest.pod.CreationTimestamp.Time):
		return true
	}
	if v.rec == nil {
		return false
	}
	yielded := v.rec.Yield != nil && at.Before(v.rec.Yield.NotBefore)
	return yielded || (!v.rec.PodCreated.IsZero() && !at.After(v.rec.PodCreated))
}

// mayWaitFor reports whether an attempt may still wait for what a Warning told.
func (a *attempt) mayWaitFor(out *pull.Outcome) bool {
	switch {
	case a.started || a.ended || a.waiting.Reason != "":
		return false
	case out.Reason == pull.Unschedulable:
		return a.pod.Spec.NodeName == ""
	}
	for _, c := range a.pod.Status.Conditions {
		if c.Type == corev1.PodReadyToStartContainers && c.Status == corev1.ConditionTrue {
			return false // its volumes are mounted and its network is there
		}
	}
	return true
}

// hexadecimal matches ids of containers.
var hexadecimal = regexp.MustCompile(`[0-9a-f]{12,}`)

// sameWords reports whether two outcomes tell the same but for ids, which are new ones each time.
func sameWords(a, b *pull.Outcome) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Reason == b.Reason && hexadecimal.ReplaceAllString(a.Message, "") == hexadecimal.ReplaceAllString(b.Message, "")
}
