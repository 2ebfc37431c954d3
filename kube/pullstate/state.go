package pullstate

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"pullwatch/internal/pull"
)

// State returns the state of the pull. Its Position is zero.
func (v *View) State() *pull.State {
	s := &pull.State{
		ID: v.job.Name, Namespace: v.job.Namespace, Image: v.identity.Image, Destination: v.identity.Destination, Platforms: v.identity.Platforms,
		RetryOf: v.identity.RetryOf, CreatedAt: v.identity.Created, Attempts: v.attemptCount,
	}
	if v.job.Status.StartTime != nil {
		s.StartedAt = v.job.Status.StartTime.UTC()
	}
	if v.canceledAt != nil {
		v.canceled(s)
		return s
	}
	s.Revision = pull.Revision{Cluster: Version(v.job), Pods: v.pods, Step: v.log.step()}
	hindrance := ReadHindrance(v.job)
	switch {
	case hindrance != nil && !hindrance.GivenUp.IsZero():
		v.givenUp(s, hindrance)
	case v.complete != nil:
		s.FinishedAt = v.complete.LastTransitionTime.UTC()
		succeeded(s, v.end)
	case v.failed != nil && v.end.copied():
		s.FinishedAt = v.failed.LastTransitionTime.UTC()
		succeeded(s, v.end)
		if v.end.Others != "" {
			s.Message = followedBy(s.Message, "Its pod was ended because of containers that are not pullwatch's: "+v.end.Others+".")
		}
	case v.failed != nil:
		s.Phase, s.FinishedAt = pull.Failed, v.failed.LastTransitionTime.UTC()
		s.Failure = failureOf(v.job, v.failed, v.end, s.Attempts > 0)
		s.Message = s.Failure.Message
		if v.end != nil {
			s.Progress = progressOf(v.end.Last, false)
		}
	case Suspended(v.job):
		v.queued(s, hindrance)
	case v.newest == nil:
		s.Phase, s.Message = pull.Pending, "Waits for its pod to be created."
		switch {
		case v.failing != nil && (v.rec == nil || !v.rec.Ran):
			s.Message = v.failingMessage()
		case v.rec == nil:
		case v.rec.Next != nil && !v.rec.Ran:
			s.Message = v.rec.Next.Message
		case v.rec.Ran:
			v.attemptEnded(s, v.rec)
		case v.rec.Attempts > 0:
			s.Phase, s.Message = pull.Retrying, "Attempt "+strconv.Itoa(s.Attempts+1)+" is starting: "+cmp.Or(v.rec.Outcome.Message, s.Message)
		}
	default:
		v.unfinished(s)
	}
	v.addDigests(s)
	s.UpdatedAt = v.updatedAt(s)
	if v.abandoned() {
		return v.lost(s)
	}
	return s
}

// queued fills in the state of a pull that waits in the queue.
func (v *View) queued(s *pull.State, hindrance *Hindrance) {
	own, again := v.yielded(), ""
	if hindrance != nil { // it is about the last try to start it
		own, again = hindrance.Message, triedAgain
	}
	s.Phase, s.Held = pull.Queued, Held(v.job)
	if v.end != nil {
		s.Progress = progressOf(v.end.Last, false)
	}
	switch notice := ReadNotice(v.job).Message; {
	case s.Held:
		s.Message = heldMessage
	case notice != "" && own != "":
		s.Message = notice + " " + own
	default:
		s.Message = cmp.Or(notice, own, pull.WaitsForSlot) + again
	}
}

// unfinished fills in the state of a pull that has left the queue and has a pod, and whose Job has not ended.
func (v *View) unfinished(s *pull.State) {
	newest, terminated := v.newest, v.newest.terminated
	switch {
	case v.rec != nil && v.rec.Pod == newest.pod.UID && v.rec.Ended && terminated == nil:
		v.attemptEnded(s, v.rec) // the Job is newer than the pod
	case newest.unknown && newest.record == nil:
		s.Phase, s.Message = pull.Pending, "Its pod is being removed."
		if v.rec != nil && v.rec.Pod == newest.pod.UID {
			s.Message = v.rec.Outcome.Message
		}
	case v.end.copied() && newest.pod.UID != v.end.Pod:
		v.attemptEnded(s, v.end) // Kubernetes has begun another attempt
	case newest.pod.Status.Phase == corev1.PodFailed || (terminated != nil && terminated.ExitCode != pull.ExitDone):
		v.attemptEnded(s, v.end)
	case newest.running || terminated != nil:
		s.Phase, s.Message = pull.Pulling, cmp.Or(v.stopping(newest), newest.log.Last.Message, "Copying has started.")
		if others := newest.others(); terminated != nil && others != "" {
			s.Message = followedBy(s.Message, "Containers that are not pullwatch's have not ended: "+others+".")
		}
		s.Progress = progressOf(newest.log.Last, newest.running && newest.pod.DeletionTimestamp == nil && !nodeLost(newest.pod))
	default:
		s.Phase, s.Message = pull.Pending, cmp.Or(v.stopping(newest), v.waiting().Message)
		if s.Attempts > 0 {
			s.Phase, s.Message = pull.Retrying, "Attempt "+strconv.Itoa(s.Attempts+1)+" is starting: "+s.Message
			if v.endBefore != nil {
				s.Progress = progressOf(v.endBefore.Last, false)
			}
		}
	}
}

// attemptEnded fills in the state of a pull whose newest attempt has ended while its Job has not.
func (v *View) attemptEnded(s *pull.State, end *Record) {
	s.Progress = progressOf(end.Last, false)
	switch {
	case end.copied():
		s.Phase, s.Message = pull.Pulling, cmp.Or(end.Last.Message, "Copying has ended.")
	case end.final || v.failing != nil || v.exhausted():
		// No other attempt will start, so RETRYING would be a lie for the moment until the Job has failed.
		s.Phase, s.Message = pull.Pulling, "Failed, ending: "+end.Outcome.Message
	default:
		what := "Attempt " + strconv.Itoa(s.Attempts) + " failed"
		if !end.Ran {
			what = "Attempt " + strconv.Itoa(s.Attempts+1) + " failed before it began"
		}
		s.Phase, s.Message = pull.Retrying, what+", another will start: "+end.Outcome.Message
		if v.rec.next() != nil {
			s.Message = followedBy(s.Message, v.rec.Next.Message)
		}
	}
}

// succeeded fills in the state of a pull whose Job is complete. end may be nil: nothing is known of any attempt.
func succeeded(s *pull.State, end *Record) {
	s.Phase, s.Message = pull.Succeeded, "Copied."
	s.Progress.Percent = 100
	if end == nil {
		return
	}
	out := end.Outcome
	s.Progress.BytesDone, s.Progress.BytesTotal = out.BytesTotal, &out.BytesTotal
	if out.Digest == "" {
		return
	}
	s.Destination.Digest = &out.Digest
	s.Confirmed = new(out.Unconfirmed == "")
	s.Message = out.Did("") + ": " + out.Digest
	if notes := out.Notes(); notes != "" {
		s.Message += ". " + notes
	}
}

// failureOf says why a Job with the condition Failed has failed. end may be nil: nothing is known of any attempt. ran tells
// whether the copier was ever started.
func failureOf(job *batchv1.Job, failed *batchv1.JobCondition, end *Record, ran bool) *pull.Failure {
	f := &pull.Failure{Reason: pull.Unknown, Message: cmp.Or(failed.Message, "The Job failed without a reason."), LogTail: []string{}}
	if end != nil && end.LogTail != nil {
		f.LogTail = end.LogTail
	}
	if why := end.unstarted(); why != nil && !ran {
		end = &Record{Outcome: *why, Yield: end.Yield}
	}
	switch {
	case failed.Reason == batchv1.JobReasonDeadlineExceeded && (ran || end == nil || end.Ran || end.Outcome.Reason == ""):
		f.Message = "Did not finish" + inTime(job, failed, end) + "."
		f.Reason = cmp.Or(end.obstacle(), pull.Timeout)
		switch {
		case end != nil && end.Outcome.Message != "":
			f.Message += " The last attempt: " + end.Outcome.Message
		case !ran:
			f.Message += " No attempt is known to have started, and no event told why."
		}
		if end != nil && end.Next != nil {
			f.Message = followedBy(f.Message, end.Next.Message)
		}
	case end != nil && end.Outcome.Reason != "":
		f.Reason, f.Message = end.Outcome.Reason, end.Outcome.Message
		if failed.Reason == batchv1.JobReasonDeadlineExceeded {
			f.Message = "Never started" + inTime(job, failed, end) + ". " + f.Message
		}
	}
	f.Message = pull.Truncate(f.Message, pull.MaxFailureMessage)
	return f
}

// followedBy returns two sentences. The first may lack its full stop.
func followedBy(first, second string) string {
	return strings.TrimSuffix(first, ".") + ". " + second
}

// inTime says how long a pull had that has failed at its deadline. Each time that it leaves the queue its Job has the whole deadline.
func inTime(job *batchv1.Job, failed *batchv1.JobCondition, end *Record) string {
	if end != nil && end.Yield != nil {
		return " in " + failed.LastTransitionTime.Sub(end.Yield.Since).Round(time.Second).String()
	}
	return " within its deadline" + deadline(job)
}

func deadline(job *batchv1.Job) string {
	if job.Spec.ActiveDeadlineSeconds == nil {
		return ""
	}
	return " of " + (time.Duration(*job.Spec.ActiveDeadlineSeconds) * time.Second).String()
}

func progressOf(r pull.Report, moving bool) pull.Progress {
	p := pull.Progress{BytesDone: r.BytesDone, BytesTotal: r.BytesTotal}
	if r.BytesTotal == nil {
		return p
	}
	if *r.BytesTotal > 0 {
		// 100 is for a pull that has succeeded: its manifests are written after its last blob. An upload that failed is
		// taken back from the bytes, but the percentage never falls.
		p.Percent = int(min(99, max(r.BytesDone, r.BytesBest)*100 / *r.BytesTotal))
	}
	if moving && r.BytesPerSecond > 0 {
		p.BytesPerSecond = &r.BytesPerSecond
		if left := (*r.BytesTotal - r.BytesDone + r.BytesPerSecond - 1) / r.BytesPerSecond; left <= math.MaxInt32 {
			p.SecondsLeft = new(int(left))
		}
	}
	return p
}

// addDigests adds the digest of the image that the newest attempt copies. The message says if an attempt before copied another
// one, and which image was at the destination.
func (v *View) addDigests(s *pull.State) {
	var digest, before, held string
	rec := v.rec
	if newest := v.newest; newest != nil {
		end := newest.record
		// An end depends on what is written on the Job, if that is about the newest attempt.
		if !s.Phase.Final() || rec == nil || rec.Pod != newest.pod.UID || (end != nil && !rec.covers(end)) {
			digest, held = newest.log.Last.Image, newest.log.Last.Held
			if end != nil {
				digest, held = cmp.Or(digest, end.image()), cmp.Or(held, end.held())
			}
		}
		if rec != nil && rec.Pod != newest.pod.UID {
			before, held = cmp.Or(rec.image(), rec.Before), cmp.Or(held, rec.held())
			rec = nil
		}
	}
	if rec != nil {
		digest, before, held = cmp.Or(digest, rec.image()), rec.Before, cmp.Or(held, rec.held())
	}
	switch {
	case held == "":
	case s.Phase == pull.Pulling:
		s.Message += " (" + pull.Replaces(held) + ")"
	case s.Phase == pull.Succeeded:
		s.Message += " (" + pull.Replaced(held) + ")"
	}
	if digest == "" {
		digest, before = before, ""
	}
	if digest == "" {
		return
	}
	if s.Image.Digest == nil {
		s.Image.Digest = &digest
	}
	if before != "" && before != digest && (s.Phase == pull.Pulling || s.Phase == pull.Succeeded) {
		s.Message += fmt.Sprintf(" (The tag has moved: an attempt before found %s.)", before)
	}
}

// updatedAt returns the latest time of all that the state tells.
func (v *View) updatedAt(s *pull.State) time.Time {
	at := s.CreatedAt
	later := func(t time.Time) {
		if t.After(at) {
			at = t
		}
	}
	later(s.StartedAt)
	later(s.FinishedAt)
	if !s.FinishedAt.IsZero() {
		return at.UTC()
	}
	for _, c := range v.job.Status.Conditions {
		later(c.LastTransitionTime.Time)
	}
	if v.rec != nil {
		later(v.rec.Time)
	}
	later(ReadNotice(v.job).Time)
	if hold := readHold(v.job); hold != nil {
		later(hold.Time)
	}
	if newest := v.newest; newest != nil {
		later(newest.pod.CreationTimestamp.Time)
		if newest.running {
			later(newest.copier.State.Running.StartedAt.Time)
		} else if newest.terminated != nil {
			later(newest.terminated.FinishedAt.Time)
		}
	}
	later(v.log.Last.Time)
	return at.UTC()
}
