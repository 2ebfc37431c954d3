// Package pullstate tells the state of a pull from its Job, the Job's pods and what was read of their logs. It has no client,
// no clock and no memory: the same objects give the same state on every replica and after every restart.
//
// Read makes a View of the objects (view.go). State tells the pull's state (state.go), each pod being one attempt
// (attempt.go). A pod's and a registry's error texts are classified in classify.go. Pods go before their Job, so the leader
// writes on the Job what Unwritten returns (record.go), and Read takes that before what the pods tell: all replicas see it,
// and for longer.
package pullstate

import (
	"cmp"
	"slices"
	"strconv"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"pullwatch/internal/pull"
)

// View is a pull as its objects tell it.
type View struct {
	id  Identity
	job *batchv1.Job
	// attempts are in the order in which their pods were created. The last one is the current attempt.
	attempts []attempt
	// rec is the record on the Job, nil when there is none.
	rec *Record
}

// Read returns the View of a pull. It passes over pods that another Job owns: one that had the same name before. logs may lack
// those of some pods.
func Read(id Identity, job *batchv1.Job, pods []*corev1.Pod, logs map[types.UID]Log) *View {
	v := &View{id: id, job: job, rec: ReadRecord(job), attempts: make([]attempt, 0, len(pods))}
	for _, pod := range pods {
		if !metav1.IsControlledBy(pod, job) {
			continue
		}
		v.attempts = append(v.attempts, attempt{pod: pod, copier: CopierStatus(pod), log: logs[pod.UID]})
	}
	slices.SortFunc(v.attempts, func(a, b attempt) int {
		return cmp.Or(a.pod.CreationTimestamp.Compare(b.pod.CreationTimestamp.Time), cmp.Compare(a.pod.UID, b.pod.UID))
	})
	return v
}

// newest returns the current attempt, nil when there is no pod.
func (v *View) newest() *attempt {
	if len(v.attempts) == 0 {
		return nil
	}
	return &v.attempts[len(v.attempts)-1]
}

// lastEnd returns what is known of the last of some attempts, nil when nothing is. It takes the record on the Job before the
// pod and its log. So replicas that have not seen the pod tell the same as those that have.
func (v *View) lastEnd(attempts []attempt) *Record {
	if len(attempts) == 0 {
		return v.rec
	}
	last := attempts[len(attempts)-1]
	end := last.record()
	switch {
	case end == nil:
		return v.rec
	case v.rec.covers(end):
		recorded := *v.rec
		recorded.final = end.final
		return &recorded
	case v.rec != nil && v.rec.Pod == last.pod.UID && len(end.LogTail) == 0:
		end.LogTail, end.Last = v.rec.LogTail, v.rec.Last
	}
	return end
}

// attemptsMade counts the pods in which the copier was started, with those that are gone and only the record knows.
func (v *View) attemptsMade() int {
	n, recorded := 0, false
	for _, a := range v.attempts {
		if a.started() {
			n++
		}
		recorded = recorded || (v.rec != nil && a.pod.UID == v.rec.Pod)
	}
	switch {
	case v.rec == nil:
		return n
	case recorded:
		return max(n, v.rec.Attempts)
	default:
		return n + v.rec.Attempts
	}
}

// lastLog returns the log that the state is made from. That is the current attempt's once its copier has started, and the one
// before until then.
func (v *View) lastLog() Log {
	n := len(v.attempts)
	if n == 0 {
		return Log{}
	}
	if n > 1 && !v.attempts[n-1].started() {
		n--
	}
	return v.attempts[n-1].log
}

// needsLog reports whether the state needs more of an attempt's log: how far the copier is while it runs, its last lines when
// it has failed.
func (v *View) needsLog(a *attempt) bool {
	t := a.terminated()
	switch {
	case a.unknown():
		return false
	case a.running():
		return !Finished(v.job)
	case t == nil || t.ExitCode == pull.ExitDone:
		return false
	}
	return !a.log.Complete && (v.rec == nil || v.rec.Pod != a.pod.UID || !v.rec.Ended)
}

// NeedsLog reports whether the state needs more of a pod's log than was read.
func (v *View) NeedsLog(pod types.UID) bool {
	i := slices.IndexFunc(v.attempts, func(a attempt) bool { return a.pod.UID == pod })
	return i >= 0 && v.needsLog(&v.attempts[i])
}

// Unwritten returns what is known of the current attempt and not yet written on the Job, nil when nothing is. Its Time is for
// the caller to set.
func (v *View) Unwritten() *Record {
	newest := v.newest()
	if newest == nil {
		return nil
	}
	seen := newest.record()
	if newest.running() && v.rec != nil && v.rec.Pod == newest.pod.UID {
		// What it waited for is over, and must not stand for its end should the pod vanish.
		seen = &Record{Pod: newest.pod.UID, Ran: true, Outcome: pull.Outcome{Reason: pull.Unknown, Message: "The copier's pod was removed while it ran."}}
	}
	if seen == nil || (seen.Ended && seen.Outcome.Reason != "" && v.needsLog(newest)) || v.rec.covers(seen) {
		return nil
	}
	seen.Attempts = v.attemptsMade()
	switch {
	case v.rec == nil:
	case v.rec.Pod == seen.Pod:
		seen.Before, seen.Held = v.rec.Before, v.rec.Held
	default:
		seen.Before, seen.Held = cmp.Or(v.rec.image(), v.rec.Before), v.rec.held()
	}
	return seen
}

// Recorded reports whether all that is to be known of a Job that has ended is written on it.
func (v *View) Recorded() bool {
	if v.rec == nil || len(v.attempts) == 0 {
		return v.rec != nil
	}
	seen := v.newest().record()
	return seen == nil || v.rec.covers(seen)
}

// Complete reports whether nothing more is about to be known of a Job that has ended. gone tells which pods are gone: nothing
// more comes from those.
func (v *View) Complete(gone func(types.UID) bool) bool {
	exists := false
	for i := range v.attempts {
		a := &v.attempts[i]
		if gone(a.pod.UID) {
			continue
		}
		exists = true
		if !a.podEnded() || v.needsLog(a) {
			return false
		}
	}
	if exists && v.Unwritten() != nil {
		return false // once it is on the Job, all replicas tell the same
	}
	return len(v.attempts) > 0 || v.rec != nil || (v.job.Status.Failed == 0 && Condition(v.job, batchv1.JobComplete) == nil)
}

// revision says how new the objects are.
func (v *View) revision() pull.Revision {
	r := pull.Revision{Cluster: Version(v.job), Step: v.lastLog().step()}
	for _, a := range v.attempts {
		r.Pods = max(r.Pods, Version(a.pod))
	}
	return r
}

// Version returns the resourceVersion of an object or a list. Kubernetes promises since 1.35 that it is a number and grows
// over all objects of a kind; Jobs and pods share one etcd everywhere but in rare set-ups that split them.
func Version(o interface{ GetResourceVersion() string }) uint64 {
	return ParseVersion(o.GetResourceVersion())
}

// ParseVersion returns 0 for what is no number.
func ParseVersion(resourceVersion string) uint64 {
	v, _ := strconv.ParseUint(resourceVersion, 10, 64)
	return v
}
