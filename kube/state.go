package kube

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"pullwatch/internal/pull"
)

// identity is the part of a pull's state that never changes.
type identity struct {
	image, destination pull.ImageReference
	platforms          []string
	created            time.Time
	retryOf            *string
}

// identify reads a pull's identity from its Job's annotations. An error means that the Job is not one of pullwatch's.
func identify(job *batchv1.Job) (identity, error) {
	image, err := pull.ParseImage(job.Annotations[annotationImage])
	if err != nil {
		return identity{}, fmt.Errorf("annotation %s: %w", annotationImage, err)
	}
	destination, err := pull.ParseImage(job.Annotations[annotationDestination])
	if err != nil {
		return identity{}, fmt.Errorf("annotation %s: %w", annotationDestination, err)
	}
	platforms, err := pull.SplitPlatforms(job.Annotations[annotationPlatforms])
	if err != nil {
		return identity{}, fmt.Errorf("annotation %s: %w", annotationPlatforms, err)
	}
	created, err := time.Parse(time.RFC3339Nano, job.Annotations[annotationCreated])
	if err != nil {
		created = job.CreationTimestamp.Time
	}
	id := identity{image: image, destination: destination, platforms: platforms, created: created.UTC()}
	if of := job.Annotations[annotationRetryOf]; of != "" {
		id.retryOf = &of
	}
	return id, nil
}

// stateOf computes the state of a pull. It is a pure function: the same Job, pods and logs give the same state on every
// replica and after every restart. No clock and nothing that this process alone has seen flows into it. What is on the Job
// goes before what its pods and their logs tell, because that is there for all replicas and for longer.
func stateOf(id identity, job *batchv1.Job, pods []*corev1.Pod, logs map[types.UID]copierLog) *pull.Job {
	pods = slices.SortedFunc(slices.Values(pods), comparePods)
	rec := readRecord(job)
	s := &pull.Job{
		ID: job.Name, Namespace: job.Namespace, Image: id.image, Destination: id.destination, Platforms: id.platforms, RetryOf: id.retryOf,
		CreatedAt: id.created,
		Attempts:  attempts(pods, rec),
	}
	if job.Status.StartTime != nil {
		s.StartedAt = job.Status.StartTime.UTC()
	}

	if at, isCanceled := canceledAt(job); isCanceled {
		cancel(s, job, at, rec)
		return s
	}
	var newest *corev1.Pod // the current attempt
	if len(pods) > 0 {
		newest = pods[len(pods)-1]
	}
	log := lastWords(pods, logs)
	s.Revision = revisionOf(job, pods, log)

	complete, failed := condition(job, batchv1.JobComplete), condition(job, batchv1.JobFailed)
	switch {
	case complete != nil:
		s.FinishedAt = complete.LastTransitionTime.UTC()
		succeed(s, lastEnd(pods, logs, rec))
	case failed != nil:
		s.Phase, s.FinishedAt = pull.Failed, failed.LastTransitionTime.UTC()
		end := lastEnd(pods, logs, rec)
		s.Failure = failureOf(job, failed, end, s.Attempts > 0)
		s.Message = s.Failure.Message
		if end != nil {
			s.Progress = progressOf(end.Last, false)
		}
	case job.Spec.Suspend != nil && *job.Spec.Suspend:
		s.Phase, s.Message = pull.Queued, "Waits for a free slot."
	default:
		run(s, job, pods, logs, rec)
	}
	showFound(s, pods, logs, rec)
	s.UpdatedAt = updatedAt(s, job, newest, log, rec)
	return s
}

// cancel fills in the state of a pull that was canceled at a moment. It depends on the Job alone: the pods go with it, and each
// replica would tell something else of them.
func cancel(s *pull.Job, job *batchv1.Job, at time.Time, rec *record) {
	last := readCanceled(job)
	if last == nil {
		last = &canceledState{}
		if rec != nil {
			last.Attempts, last.Last = rec.Attempts, rec.Last
			last.Last.Image = rec.image()
		}
	}
	s.Phase, s.Message, s.FinishedAt = pull.Canceled, "Canceled.", at
	s.Attempts, s.Progress = last.Attempts, progressOf(last.Last, false)
	s.Progress.Percent = max(s.Progress.Percent, last.Percent)
	s.Revision = pull.Revision{Cluster: version(job)}
	showFound(s, nil, nil, &record{Last: last.Last})
	s.UpdatedAt = updatedAt(s, job, nil, copierLog{}, nil)
}

// showFound fills in which image it is that the newest attempt copies, and says when an attempt before copied another,
// and what of another image was at the destination.
func showFound(s *pull.Job, pods []*corev1.Pod, logs map[types.UID]copierLog, rec *record) {
	var digest, before, held string
	if len(pods) > 0 {
		newest := pods[len(pods)-1]
		log := logs[newest.UID]
		end := evidence(newest, log)
		// An end depends on what is written on the Job, if that is about the newest attempt.
		if !s.Phase.Final() || rec == nil || rec.Pod != newest.UID || (end != nil && !rec.covers(end)) {
			digest, held = log.last.Image, log.last.Held
			if end != nil {
				digest, held = cmp.Or(digest, end.image()), cmp.Or(held, end.held())
			}
		}
		if rec != nil && rec.Pod != newest.UID {
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

// run fills in the state of a pull that has left the queue and has not ended.
func run(s *pull.Job, job *batchv1.Job, pods []*corev1.Pod, logs map[types.UID]copierLog, rec *record) {
	if len(pods) == 0 {
		s.Phase, s.Message = pull.Pending, "Waits for its pod to be created."
		if rec != nil && rec.Ran {
			between(s, job, rec)
		}
		return
	}
	newest := pods[len(pods)-1]
	log, copier := logs[newest.UID], copierStatus(newest)
	switch {
	case rec != nil && rec.Pod == newest.UID && rec.Ended && (copier == nil || copier.State.Terminated == nil):
		between(s, job, rec) // the Job is newer than the pod
	case lostSight(copier):
		s.Phase, s.Message = pull.Pending, "Its pod is being removed."
		if rec != nil && rec.Pod == newest.UID {
			s.Message = rec.Outcome.Message
		}
	case newest.Status.Phase == corev1.PodFailed || (copier != nil && copier.State.Terminated != nil && copier.State.Terminated.ExitCode != pull.ExitDone):
		between(s, job, lastEnd(pods, logs, rec))
	case copier != nil && (copier.State.Running != nil || copier.State.Terminated != nil):
		s.Phase, s.Message = pull.Pulling, cmp.Or(log.last.Message, "Copying has started.")
		s.Progress = progressOf(log.last, copier.State.Running != nil)
	default:
		waiting := waitingFor(newest)
		s.Phase, s.Message = pull.Pending, waiting.Message
		if s.Attempts > 0 {
			s.Phase, s.Message = pull.Retrying, "Attempt "+strconv.Itoa(s.Attempts+1)+" is starting: "+waiting.Message
			if before := lastEnd(pods[:len(pods)-1], logs, rec); before != nil {
				s.Progress = progressOf(before.Last, false)
			}
		}
	}
}

// between fills in the state of a pull whose newest attempt has ended while its Job has not.
func between(s *pull.Job, job *batchv1.Job, end *record) {
	s.Progress = progressOf(end.Last, false)
	switch {
	case end.Ended && end.Outcome.Reason == "":
		s.Phase, s.Message = pull.Pulling, cmp.Or(end.Last.Message, "Copying has ended.")
	case end.final || condition(job, batchv1.JobFailureTarget) != nil || (job.Spec.BackoffLimit != nil && s.Attempts > int(*job.Spec.BackoffLimit)):
		// No other attempt will start, so RETRYING would be a lie for the moment until the Job has failed.
		s.Phase, s.Message = pull.Pulling, "Failed, ending: "+end.Outcome.Message
	default:
		s.Phase, s.Message = pull.Retrying, "Attempt "+strconv.Itoa(s.Attempts)+" failed, another will start: "+end.Outcome.Message
	}
}

// succeed fills in the state of a pull whose Job is complete.
func succeed(s *pull.Job, end *record) {
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
func failureOf(job *batchv1.Job, failed *batchv1.JobCondition, end *record, ran bool) *pull.Failure {
	f := &pull.Failure{Reason: pull.Unknown, Message: cmp.Or(failed.Message, "The Job failed without a reason."), LogTail: []string{}}
	if end != nil && end.LogTail != nil {
		f.LogTail = end.LogTail
	}
	switch {
	case failed.Reason == batchv1.JobReasonDeadlineExceeded && (ran || end == nil || end.Ran || end.Outcome.Reason == ""):
		f.Reason, f.Message = pull.Timeout, "Did not finish within its deadline"+deadline(job)+"."
		switch {
		case end != nil && end.Outcome.Message != "":
			f.Message += " The last attempt: " + end.Outcome.Message
		case !ran:
			// Kubernetes tells of this only in events, which may be gone.
			f.Message += " No attempt is known to have started: a secret or a volume that its pod needs may not exist."
		}
	case end != nil && end.Outcome.Reason != "":
		f.Reason, f.Message = end.Outcome.Reason, end.Outcome.Message
		if failed.Reason == batchv1.JobReasonDeadlineExceeded {
			f.Message = "Never started within its deadline" + deadline(job) + ". " + f.Message
		}
	}
	f.Message = pull.Truncate(f.Message, pull.MaxFailureMessage)
	return f
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

// attempts counts the pods in which the copier was started. Pods may be gone that rec still knows.
func attempts(pods []*corev1.Pod, rec *record) int {
	n := 0
	recorded := false
	for _, pod := range pods {
		if c := copierStatus(pod); c != nil && started(c) {
			n++
		}
		recorded = recorded || (rec != nil && pod.UID == rec.Pod)
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

func started(c *corev1.ContainerStatus) bool {
	return c.State.Running != nil || (c.State.Terminated != nil && !c.State.Terminated.StartedAt.IsZero())
}

func copierStatus(pod *corev1.Pod) *corev1.ContainerStatus {
	for i := range pod.Status.ContainerStatuses {
		if c := &pod.Status.ContainerStatuses[i]; c.Name == pull.ContainerName {
			return c
		}
	}
	return nil
}

func condition(job *batchv1.Job, kind batchv1.JobConditionType) *batchv1.JobCondition {
	for i := range job.Status.Conditions {
		if c := &job.Status.Conditions[i]; c.Type == kind && c.Status == corev1.ConditionTrue {
			return c
		}
	}
	return nil
}

// finished reports whether the Job has ended by itself.
func finished(job *batchv1.Job) bool {
	return condition(job, batchv1.JobComplete) != nil || condition(job, batchv1.JobFailed) != nil
}

func canceledAt(job *batchv1.Job) (time.Time, bool) {
	at, err := time.Parse(time.RFC3339Nano, job.Annotations[annotationCanceled])
	return at.UTC(), err == nil
}

// updatedAt is the latest moment of all that the state tells.
func updatedAt(s *pull.Job, job *batchv1.Job, newest *corev1.Pod, log copierLog, rec *record) time.Time {
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
	for _, c := range job.Status.Conditions {
		later(c.LastTransitionTime.Time)
	}
	if rec != nil {
		later(rec.Time)
	}
	if newest != nil {
		later(newest.CreationTimestamp.Time)
		if c := copierStatus(newest); c != nil && c.State.Running != nil {
			later(c.State.Running.StartedAt.Time)
		} else if c != nil && c.State.Terminated != nil {
			later(c.State.Terminated.FinishedAt.Time)
		}
	}
	later(log.last.Time)
	return at.UTC()
}
