package pullstate

import (
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"

	"pullwatch/internal/pull"
)

// patience is how long a pull that cannot start keeps its slot while others wait for one.
const patience = 2 * time.Minute

// longestRest is the longest that a pull which cannot start waits before it is tried again. The first rest is as long as patience, and
// each one after it twice as long as the one before.
const longestRest = 16 * time.Minute

// Yield is what the leader notes of a pull that could not start and let others go first. It stands in the Record.
type Yield struct {
	// Count is how often it did. Since is when it left the queue for the first time.
	Count int       `json:"count"`
	Since time.Time `json:"since"`
	// NotBefore is when it may leave the queue again.
	NotBefore time.Time `json:"notBefore"`
	// Why is what kept it from starting the last time.
	Why pull.Outcome `json:"why"`
}

// GivesUp returns when a pull is given up that still cannot start and has let others go first before. It is the zero time if it has not:
// then the deadline of its Job passes in time.
func (y *Yield) GivesUp(job *batchv1.Job) time.Time {
	limit := job.Spec.ActiveDeadlineSeconds
	if limit == nil || y.Count < 2 {
		return time.Time{}
	}
	return y.Since.Add(time.Duration(*limit) * time.Second)
}

// Yields returns what is to be written on the Job of a pull whose next attempt cannot start, so that it lets others go first: from due
// on. It returns nil if that attempt can start, as far as is known. GiveUp is set if the pull has been tried for as long as it may.
func (v *View) Yields(now time.Time) (rec *Record, due time.Time, giveUp bool) {
	cause, since := v.cause()
	ready := v.job.Status.Ready
	if cause == nil || v.job.Status.StartTime == nil || v.canceledAt != nil || (ready != nil && *ready > 0) || // the pods may be known late
		v.complete != nil || v.failed != nil || v.failing != nil || Suspended(v.job) {
		return nil, due, false
	}
	limit := v.job.Spec.ActiveDeadlineSeconds
	if limit != nil && *limit <= 1 {
		return nil, due, false // it is given up, or as good as that
	}
	started := v.job.Status.StartTime.UTC()
	yield := Yield{Since: started}
	if v.rec.Yield != nil {
		yield = *v.rec.Yield
	}
	yield.NotBefore = now.Add(min(longestRest, patience<<min(yield.Count, 8))).UTC()
	yield.Count++
	yield.Why = *cause
	yielded := *v.rec
	yielded.Yield, yielded.Time = &yield, now.UTC()
	at := yield.GivesUp(v.job)
	if giveUp = !at.IsZero() && !at.After(now); !giveUp {
		yielded.Next = nil // the next try may get over it
		if !yielded.Ended {
			yielded.Outcome = pull.Outcome{}
		}
	}
	if v.attemptCount == 0 || since.Before(started) {
		since = started
	}
	return &yielded, since.Add(patience), giveUp
}

// cause returns what keeps the next attempt from starting, and since when there could be one, once a Record tells of it; nil if
// nothing is known to.
func (v *View) cause() (*pull.Outcome, time.Time) {
	n := v.newest
	switch {
	case v.rec == nil || v.copied() != nil:
	case n == nil:
		return v.rec.next(), v.rec.Time
	case v.rec.Pod != n.pod.UID:
	case n.ended && n.terminated != nil:
		since := n.terminated.FinishedAt.Time
		if v.rec.Time.Before(since) { // the node's clock is ahead
			since = v.rec.Time
		}
		return v.rec.next(), since
	case n.ended:
		return v.rec.next(), v.rec.Time
	case !n.started:
		if out := v.waiting(); out.Reason != "" {
			return &out, n.pod.CreationTimestamp.Time
		}
	}
	return nil, time.Time{}
}

// NotBefore returns when the pull of a queued Job may leave the queue; the zero time for at once.
func NotBefore(job *batchv1.Job) time.Time {
	if rec := ReadRecord(job); rec != nil && rec.Yield != nil {
		return rec.Yield.NotBefore
	}
	return time.Time{}
}

// yielded returns the message of a queued pull that has let others go first, empty if it has not.
func (v *View) yielded() string {
	if v.rec == nil || v.rec.Yield == nil {
		return ""
	}
	y, what := v.rec.Yield, "it"
	if v.attemptCount > 0 {
		what = "attempt " + strconv.Itoa(v.attemptCount+1)
	}
	return "Lets other pulls go first, since " + what + " could not start, and is tried again from " + y.NotBefore.Format("15:04:05 MST") + " on. " + y.Why.Message
}

// unstarted returns what kept an attempt from starting that never did, nil if nothing is known to.
func (r *Record) unstarted() *pull.Outcome {
	switch {
	case r == nil || r.Ran:
	case r.Next != nil:
		return r.Next
	case r.Outcome.Reason != "":
		return &r.Outcome
	case r.Yield != nil:
		return &r.Yield.Why
	}
	return nil
}
