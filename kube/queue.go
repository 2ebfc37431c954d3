package kube

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"pullwatch/internal/pull"
	"pullwatch/kube/pullstate"
)

// What a client reads of a queued pull that does not run though there is a free slot.
const (
	suspendedByOther = "Something else in the cluster suspends this Job whenever pullwatch starts it: an admission policy or another controller. " +
		"Those who run the cluster have to exempt pulls from it."
	refusedToStart = "Kubernetes refuses to start this Job: %s."
)

// maxRefusals is how many refusals end a round of starts: then the leader's other work has its turn.
const maxRefusals = 10

// startQueued starts the oldest queued pulls while fewer than maxParallel run and the queue is neither paused nor slowed down. It passes over those that Kubernetes refuses to start
// and those that something else suspends again: each is tried at its own pace, and given up after its deadline.
func (t *term) startQueued(ctx context.Context) error {
	refusals := 0
	for _, queued := range t.tracker.queuedJobs() {
		job := queued.job
		if t.queue().Paused != nil || !t.tracker.slotFree(t.limit()) {
			return nil
		}
		if t.slowed(queued.identity) {
			continue
		}
		if at := pullstate.NotBefore(job); at.After(t.tracker.now()) {
			t.pace.wakeAt(at)
			continue
		}
		start := write{job.UID, writeStart}
		if last := t.pace.last(start); last.count > 0 && !last.refused { // it was started, and waits again
			if err := t.hinder(ctx, job, last.first, suspendedByOther); err != nil {
				return err
			}
		}
		var refusal error
		err := t.paced(start, job.Name, "", func() error {
			// With its resourceVersion in the patch, a Job that somebody cancels at this moment is not started.
			// A notice would be outdated should it come back into the queue.
			patch := fmt.Appendf(nil, `{"metadata":{"resourceVersion":%q,"annotations":{%q:null}},"spec":{"suspend":false}}`,
				job.ResourceVersion, pullstate.AnnotationNotice)
			err := t.patch(ctx, job.Name, patch)
			switch {
			case refused(err):
				refusal = err
			case err == nil:
				t.role.forbidden.Store(nil)
			}
			return err
		})
		switch {
		case apierrors.IsConflict(err):
			return nil // the watch brings the Job as it is now; until then no younger pull starts
		case err != nil:
			return fmt.Errorf("start queued pull %s: %w", job.Name, err)
		case refusal == nil:
			continue
		}
		if err := t.hinder(ctx, job, t.pace.last(start).first, fmt.Sprintf(refusedToStart, message(refusal))); err != nil {
			return err
		}
		if apierrors.IsForbidden(refusal) && t.pace.last(write{job.UID, writeHindrance}).refused {
			t.role.forbidden.Store(new(message(refusal)))
		}
		if refusals++; refusals == maxRefusals {
			t.pace.wakeAt(t.tracker.now())
			return nil
		}
	}
	return nil
}

// hinder writes on a queued Job why it does not run, and gives the pull up once it was tried for as long as a pull may take. since is
// when it was first tried.
func (t *term) hinder(ctx context.Context, job *batchv1.Job, since time.Time, message string) error {
	now := t.tracker.now()
	h := pullstate.Hindrance{Since: since.UTC(), Message: pull.Truncate(message, pull.MaxFailureMessage)}
	if limit := job.Spec.ActiveDeadlineSeconds; limit != nil && now.Sub(since) >= time.Duration(*limit)*time.Second {
		h.GivenUp = now.UTC()
	} else if before := pullstate.ReadHindrance(job); before != nil && before.Since.Equal(h.Since) && before.Message == h.Message {
		return nil
	}
	metadata := map[string]any{}
	if !h.GivenUp.IsZero() {
		metadata["resourceVersion"] = job.ResourceVersion // it may have started just now
	}
	err := t.paced(write{job.UID, writeHindrance}, job.Name, fmt.Sprint(h.Message, h.GivenUp.IsZero()), func() error {
		annotation, err := h.Annotation()
		if err != nil {
			return err
		}
		metadata["annotations"] = map[string]string{pullstate.AnnotationHindrance: annotation}
		patch, err := json.Marshal(map[string]any{"metadata": metadata})
		if err != nil {
			return err
		}
		// What refuses changes of Jobs mostly lets their status be changed, which takes annotations as well.
		if err = t.patch(ctx, job.Name, patch, "status"); apierrors.IsForbidden(err) {
			err = t.patch(ctx, job.Name, patch) // the Role of an earlier version knows nothing of the status
		}
		return err
	})
	if apierrors.IsConflict(err) {
		return nil // the watch brings the Job as it is now
	}
	return err
}

// queuedJob is the Job of a queued pull.
type queuedJob struct {
	job      *batchv1.Job
	identity pullstate.Identity
}

// queuedJobs returns the Jobs of the queued pulls that are not held, oldest first.
func (t *Tracker) queuedJobs() []queuedJob {
	t.mu.Lock()
	defer t.mu.Unlock()
	queued := make([]*tracked, 0, len(t.queued))
	for _, tr := range t.queued {
		queued = append(queued, tr)
	}
	slices.SortFunc(queued, byAge)
	jobs := make([]queuedJob, len(queued))
	for i, tr := range queued {
		jobs[i] = queuedJob{tr.job, tr.identity}
	}
	return jobs
}

// byAge is the order in which queued pulls start.
func byAge(a, b *tracked) int {
	return cmp.Or(a.identity.Created.Compare(b.identity.Created), cmp.Compare(a.name, b.name))
}

// slotFree reports whether fewer than maxParallel pulls run.
func (t *Tracker) slotFree(maxParallel int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	running, _ := t.slotsHeldLocked()
	return running < maxParallel
}

// slotsHeldLocked returns how many pulls run, and when the next of them no longer counts; the zero time if none stops counting
// before something changes.
func (t *Tracker) slotsHeldLocked() (running int, next time.Time) {
	now := t.now()
	for _, tr := range t.slots {
		switch _, until := tr.holdsSlot(); {
		case until.IsZero():
			running++
		case until.After(now):
			running++
			if next.IsZero() || until.Before(next) {
				next = until
			}
		}
	}
	return running, next
}
