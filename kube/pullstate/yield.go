package pullstate

import (
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

// Yields returns what is to be written on the Job of a pull that has no attempt yet and cannot start, so that it lets others go first:
// from due on. It returns nil if the pull can start, as far as is known. GiveUp is set if it has been tried for as long as it may.
func (v *View) Yields(now time.Time) (rec *Record, due time.Time, giveUp bool) {
	if v.attemptCount > 0 || v.rec == nil || v.cause() == nil || v.job.Status.StartTime == nil || v.canceledAt != nil ||
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
	yield.Why = *v.cause()
	yielded := *v.rec
	yielded.Next, yielded.Outcome, yielded.Yield, yielded.Time = nil, pull.Outcome{}, &yield, now.UTC()
	giveUp = limit != nil && now.Sub(yield.Since) >= time.Duration(*limit)*time.Second
	return &yielded, started.Add(patience), giveUp
}

// cause returns what keeps the first attempt from starting, once a Record tells of that attempt; nil if nothing is known to.
func (v *View) cause() *pull.Outcome {
	switch n := v.newest; {
	case v.rec == nil || v.rec.Ran:
	case n == nil:
		return v.rec.Next
	case v.rec.Pod == n.pod.UID && !n.started && !n.ended:
		if out := v.waiting(); out.Reason != "" {
			return &out
		}
	}
	return nil
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
	y := v.rec.Yield
	return "Lets other pulls go first, since it could not start, and is tried again from " + y.NotBefore.Format("15:04:05 MST") + " on. " + y.Why.Message
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
