package kube

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// startQueued starts the oldest queued pulls while fewer than maxParallel run.
func (t *term) startQueued(ctx context.Context) error {
	for _, job := range t.tracker.startable(t.maxParallel) {
		// With its resourceVersion in the patch, a Job that somebody cancels at this moment is not started.
		err := t.patch(ctx, job.Name, fmt.Appendf(nil, `{"metadata":{"resourceVersion":%q},"spec":{"suspend":false}}`, job.ResourceVersion))
		switch {
		case apierrors.IsConflict(err):
			return nil // the watch brings the Job as it is now; until then no younger pull starts
		case err != nil:
			return fmt.Errorf("start queued pull %s: %w", job.Name, err)
		}
	}
	return nil
}

// startable returns the Jobs of the queued pulls that may start now, oldest first.
func (t *Tracker) startable(maxParallel int) []*batchv1.Job {
	t.mu.Lock()
	defer t.mu.Unlock()
	running, _ := t.slotsHeldLocked()
	free := maxParallel - running
	if free <= 0 || len(t.queued) == 0 {
		return nil
	}
	queued := make([]*tracked, 0, len(t.queued))
	for _, tr := range t.queued {
		queued = append(queued, tr)
	}
	slices.SortFunc(queued, func(a, b *tracked) int {
		return cmp.Or(a.identity.Created.Compare(b.identity.Created), cmp.Compare(a.name, b.name))
	})
	var jobs []*batchv1.Job
	for _, tr := range queued[:min(free, len(queued))] {
		jobs = append(jobs, tr.job)
	}
	return jobs
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
