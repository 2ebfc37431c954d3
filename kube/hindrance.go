package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"

	"pullwatch/internal/pull"
	"pullwatch/kube/pullstate"
)

// What a client reads of a queued pull that does not run though there is a free slot.
const (
	suspendedByOther = "Something else in the cluster suspends this Job whenever pullwatch starts it: an admission policy or another controller. " +
		"Those who run the cluster have to exempt pulls from it."
	refusedToStart  = "Kubernetes refuses to start this Job: %s."
	startUnanswered = "Kubernetes does not answer when it is to start this Job, as when a webhook hangs."
)

// notStarted says why a Job could not be started.
func notStarted(failure error) string {
	if errors.Is(failure, context.DeadlineExceeded) {
		return startUnanswered
	}
	return fmt.Sprintf(refusedToStart, message(failure))
}

// hinder writes on a queued Job why it does not run. It gives the pull up if it was first tried longer ago than a pull may take.
func (t *term) hinder(ctx context.Context, job *batchv1.Job, why string) error {
	now := t.tracker.now().UTC()
	h := pullstate.Hindrance{Since: now, Message: pull.Truncate(why, pull.MaxFailureMessage)}
	before := pullstate.ReadHindrance(job)
	if before != nil {
		h.Since = before.Since
	}
	switch limit := job.Spec.ActiveDeadlineSeconds; {
	case limit != nil && now.Sub(h.Since) >= time.Duration(*limit)*time.Second:
		h.GivenUp = now
		return t.giveUp(ctx, job, h)
	case before != nil && before.Message == h.Message:
		return nil
	}
	return t.paced(ctx, write{job.UID, writeHindrance}, job.Name, h.Message, func() error {
		text, err := h.Annotation()
		if err != nil {
			return err
		}
		return t.annotate(ctx, job.Name, map[string]any{pullstate.AnnotationHindrance: text})
	})
}

// giveUp ends the pull of a queued Job. With a deadline that passes at once, the Job copies nothing should somebody resume it.
func (t *term) giveUp(ctx context.Context, job *batchv1.Job, h pullstate.Hindrance) error {
	return t.paced(ctx, write{job.UID, writeHindrance}, job.Name, "given up", func() error {
		text, err := h.Annotation()
		if err != nil {
			return err
		}
		patch, err := json.Marshal(map[string]any{
			"metadata": map[string]any{
				"resourceVersion": job.ResourceVersion, // it may have been started, held or canceled just now
				"annotations":     map[string]string{pullstate.AnnotationHindrance: text},
			},
			"spec": map[string]any{"activeDeadlineSeconds": 1},
		})
		if err != nil {
			return err
		}
		return t.patchOrAnnotate(ctx, job.Name, patch)
	})
}

// endGivenUp sets the deadlines that could not be set when pulls were given up: at once if somebody has resumed the Job.
func (t *term) endGivenUp(ctx context.Context) error {
	var errs []error
	for _, job := range t.tracker.resumable() {
		content := fmt.Sprint("suspended: ", pullstate.Suspended(job))
		err := t.paced(ctx, write{job.UID, writeEnd}, job.Name, content, func() error {
			return t.patch(ctx, job.Name, []byte(`{"spec":{"activeDeadlineSeconds":1}}`))
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("end the Job of the given-up pull %s: %w", job.Name, err))
		}
	}
	return errors.Join(errs...)
}

// resumable returns the Jobs of given-up pulls whose deadlines would let a copier run.
func (t *Tracker) resumable() []*batchv1.Job {
	t.mu.Lock()
	defer t.mu.Unlock()
	var jobs []*batchv1.Job
	for _, tr := range t.givenUp {
		if limit := tr.job.Spec.ActiveDeadlineSeconds; (limit == nil || *limit > 1) && !pullstate.Finished(tr.job) {
			jobs = append(jobs, tr.job)
		}
	}
	return jobs
}

// fightTime is for how long a Job must run until its start counts as final. What suspends it then is not what kept it in the queue.
const fightTime = longestPause

// forgetHindrances removes from the Jobs that run what kept them in the queue before. The time for which they may be tried then
// starts anew, should they come back.
func (t *term) forgetHindrances(ctx context.Context) error {
	jobs, next := t.tracker.unhindered()
	if !next.IsZero() {
		t.pace.wakeAt(next)
	}
	var errs []error
	for _, job := range jobs {
		err := t.paced(ctx, write{job.UID, writeHindrance}, job.Name, "", func() error {
			return t.annotate(ctx, job.Name, map[string]any{pullstate.AnnotationHindrance: nil})
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("forget what kept pull %s in the queue: %w", job.Name, err))
		}
	}
	return errors.Join(errs...)
}

// unhindered returns the Jobs that have run for fightTime and on which a Hindrance stands, and when there may be another one.
func (t *Tracker) unhindered() (jobs []*batchv1.Job, next time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, tr := range t.slots {
		if tr.job == nil || tr.job.Status.StartTime == nil || pullstate.Suspended(tr.job) || !tr.hindered {
			continue
		}
		switch at := tr.job.Status.StartTime.Add(fightTime); {
		case !at.After(t.now()):
			jobs = append(jobs, tr.job)
		case next.IsZero() || at.Before(next):
			next = at
		}
	}
	return jobs, next
}
