// Package pullstate tells the state of a pull from its Job, the Job's pods and what was read of their logs. It has no client,
// no clock and no memory: the same objects give the same state on every replica and after every restart.
//
// Read makes a View of a Job (job.go), of its pods, each of which is one attempt (attempt.go), and of what was read of their
// copiers' logs (log.go). View.State returns the pull's state (state.go, canceled.go). HoldsSlot tells whether the pull counts among
// those that run (slot.go). A Hindrance is what keeps the Job in the queue (hindrance.go), a Hold that somebody holds it there (hold.go), a Notice what is to be
// said of the whole queue (notice.go). waiting.go tells what a pod waits for that
// has not started, stopping.go why one does not go on, others.go what follows from containers besides the copier. Why a pod cannot start
// or was given up is known as text only: errortext.go finds the reason in it.
//
// Of several causes a state tells the first of these: that the attempt does not go on, what its pod says, what an event said. Of an
// attempt that has failed it tells why Kubernetes stopped it, unless the copier was done or said that no attempt will succeed; then
// what the copier said.
//
// Pods are deleted before their Job. So the leader writes a Record on the Job: how the last attempt ended, or what it waits for
// (record.go). View.Unwritten returns what it has to write. What only events tell, View.Warned returns (warning.go). Where the
// Record and the pods tell the same, Read takes the Record: all replicas see it, and for longer.
package pullstate

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"pullwatch/internal/pull"
)

// View is a pull as its objects tell it: all that a state is made from, read once.
type View struct {
	identity Identity
	job      *batchv1.Job
	// complete, failed and failing are the conditions of the Job that end it, or are about to; nil while they are not true.
	complete, failed, failing *batchv1.JobCondition
	// canceledAt is when the pull was canceled, nil if it was not.
	canceledAt *time.Time
	// rec is the record on the Job, nil when there is none.
	rec *Record
	// attempts are in the order in which their pods were created. newest is the last one, nil when there is none.
	// Those that rec tells of, or that came before the one it tells of, are missing while that one's pod is not known.
	attempts []attempt
	newest   *attempt
	// pods is the highest resourceVersion of all pods, 0 for none.
	pods uint64
	// attemptCount is the number of pods in which the copier was started, with those that are gone and only rec knows.
	attemptCount int
	// end is what is known of how the newest attempt fares, endBefore the same of the one before it; nil when nothing is known.
	end, endBefore *Record
	// log is the copier's log that the state is made from: the newest attempt's, or the one before its until its copier has
	// started.
	log Log
}

// Read returns the View of a pull. It passes over pods that another Job owns: one that had the same name before. logs may lack
// those of some pods.
func Read(identity Identity, job *batchv1.Job, pods []*corev1.Pod, logs map[types.UID]Log) *View {
	v := &View{
		identity: identity, job: job, rec: ReadRecord(job), attempts: make([]attempt, 0, len(pods)), complete: Condition(job, batchv1.JobComplete),
		failed: Condition(job, batchv1.JobFailed), failing: Condition(job, batchv1.JobFailureTarget),
	}
	if at, canceled := Canceled(job); canceled {
		v.canceledAt = &at
	}
	for _, pod := range pods {
		if metav1.IsControlledBy(pod, job) {
			v.attempts = append(v.attempts, readAttempt(pod, logs[pod.UID]))
			v.pods = max(v.pods, Version(pod))
		}
	}
	slices.SortFunc(v.attempts, func(a, b attempt) int {
		return cmp.Or(a.pod.CreationTimestamp.Compare(b.pod.CreationTimestamp.Time), cmp.Compare(a.pod.UID, b.pod.UID))
	})
	if v.rec != nil && !slices.ContainsFunc(v.attempts, func(a attempt) bool { return a.pod.UID == v.rec.Pod }) {
		// Its pod is gone, or is not known yet because the Job is newer than the pods. It counts all attempts before it.
		v.attempts = slices.DeleteFunc(v.attempts, v.rec.follows)
	}
	if v.rec.next() != nil && len(v.attempts) > 0 && v.attempts[len(v.attempts)-1].pod.UID != v.rec.Pod {
		past := *v.rec
		past.Next = nil // that pod could be created
		v.rec = &past
	}
	v.attemptCount, v.end, v.endBefore = countAttempts(v.attempts, v.rec), v.rec, v.rec
	if n := len(v.attempts); n > 0 {
		v.newest = &v.attempts[n-1]
		v.end, v.log = lastEnd(v.newest, v.rec), v.newest.log
		if n > 1 {
			before := &v.attempts[n-2]
			v.endBefore = lastEnd(before, v.rec)
			if !v.newest.started {
				v.log = before.log
			}
		}
	}
	if done := v.copied(); done != nil {
		v.end = done
	}
	return v
}

// lastEnd returns what is known of how an attempt fares, nil when nothing is. It prefers the record on the Job to the pod and its
// log, so that replicas that have not seen the pod make the same state as those that have.
func lastEnd(a *attempt, rec *Record) *Record {
	switch {
	case a.record == nil:
		return rec
	case rec.covers(a.record):
		recorded := *rec
		recorded.final = a.record.final
		return &recorded
	case rec != nil && rec.Pod == a.pod.UID && len(a.record.LogTail) == 0:
		end := *a.record
		end.LogTail, end.Last = rec.LogTail, rec.Last
		return &end
	}
	return a.record
}

func countAttempts(attempts []attempt, rec *Record) int {
	n, recorded := 0, false
	for _, a := range attempts {
		if a.started {
			n++
		}
		recorded = recorded || (rec != nil && a.pod.UID == rec.Pod)
	}
	switch {
	case rec == nil:
		return n
	case recorded:
		return max(n, rec.Attempts)
	default:
		return n + rec.Attempts
	}
}

// CopierRuns reports whether a copier of the pull runs.
func (v *View) CopierRuns() bool {
	return slices.ContainsFunc(v.attempts, func(a attempt) bool { return a.running })
}

// needsLog reports whether the state needs more of an attempt's log: how far the copier is while it runs, its last lines when
// it has failed.
func (v *View) needsLog(a *attempt) bool {
	switch {
	case a.unknown:
		return false
	case a.running:
		return v.complete == nil && v.failed == nil
	case a.terminated == nil || a.terminated.ExitCode == pull.ExitDone:
		return false
	}
	return !a.log.Complete && (v.rec == nil || v.rec.Pod != a.pod.UID || !v.rec.Ended)
}

// NeedsLog reports whether the state needs more of a pod's log than was read.
func (v *View) NeedsLog(pod types.UID) bool {
	i := slices.IndexFunc(v.attempts, func(a attempt) bool { return a.pod.UID == pod })
	return i >= 0 && v.needsLog(&v.attempts[i])
}

// Unwritten returns what is known of the newest attempt and not yet written on the Job, nil when nothing is. Set its Time before
// you write it.
func (v *View) Unwritten() *Record {
	if v.newest == nil {
		return nil
	}
	seen := v.newest.record
	if v.newest.running && v.rec != nil && v.rec.Pod == v.newest.pod.UID {
		// The copier no longer waits. Should the pod vanish, what it waited for must not be taken for how it ended.
		seen = &Record{Pod: v.rec.Pod, Ran: true, Outcome: pull.Outcome{Reason: pull.Unknown, Message: "The copier's pod was removed while it ran."}}
	}
	if seen == nil || (seen.Ended && seen.Outcome.Reason != "" && v.needsLog(v.newest)) || v.rec.covers(seen) {
		return nil
	}
	return v.unwritten(seen)
}

// unwritten returns a Record of what is seen of the newest attempt, with what came before it.
func (v *View) unwritten(seen *Record) *Record {
	unwritten := *seen
	unwritten.Attempts, unwritten.PodCreated = v.attemptCount, v.newest.pod.CreationTimestamp.UTC()
	if v.rec != nil {
		unwritten.Yield = v.rec.Yield
	}
	switch {
	case v.rec == nil:
	case v.rec.Pod == seen.Pod:
		unwritten.Before, unwritten.Held = v.rec.Before, v.rec.Held
	default:
		unwritten.Before, unwritten.Held = cmp.Or(v.rec.image(), v.rec.Before), v.rec.held()
	}
	return &unwritten
}

// Recorded reports whether all that is known of a Job that has ended is written on it.
func (v *View) Recorded() bool {
	if v.rec == nil || v.newest == nil {
		return v.rec != nil
	}
	return v.newest.record == nil || v.rec.covers(v.newest.record)
}

// Complete reports whether all is known of a Job that has ended. gone reports whether a pod is gone: nothing more comes from it.
func (v *View) Complete(gone func(types.UID) bool) bool {
	if v.abandoned() {
		return false // a pod that is not known yet may be done
	}
	exists := false
	for i := range v.attempts {
		a := &v.attempts[i]
		if gone(a.pod.UID) {
			continue
		}
		exists = true
		if !a.ended || v.needsLog(a) {
			return false
		}
	}
	if exists && v.Unwritten() != nil {
		return false // once it is on the Job, all replicas make the same state
	}
	return len(v.attempts) > 0 || v.rec != nil || (v.job.Status.Failed == 0 && v.complete == nil)
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
