package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"pullwatch/kube/pullstate"
)

// maxRefusals is how many refusals end a round of starts, as one does that takes callTimeout: then the leader's other work has its turn.
const maxRefusals = 10

// startQueued starts the oldest queued pulls while fewer than maxParallel run and the queue is not paused. It passes over those that
// cannot be started and those that something else suspends again: each is tried at its own pace, and given up after its deadline
// (hindrance.go).
func (t *term) startQueued(ctx context.Context) error {
	refusals := 0
	for _, job := range t.tracker.queuedJobs(t.pace.nextStart) {
		if t.queue().Paused != nil || !t.tracker.slotFree(t.maxParallel) {
			return nil
		}
		if at := pullstate.NotBefore(job); at.After(t.tracker.now()) {
			t.pace.wakeAt(at)
			continue
		}
		start := write{job.UID, writeStart}
		if last := t.pace.last(start); last.count > 0 && !last.refused { // it was started, and waits again
			if err := t.hinder(ctx, job, suspendedByOther); err != nil {
				return err
			}
		}
		var failure error
		err := t.paced(ctx, start, job.Name, "", func() error {
			failure = t.start(ctx, job)
			return failure
		})
		switch {
		case err != nil:
			return fmt.Errorf("start queued pull %s: %w", job.Name, err)
		case failure == nil, apierrors.IsConflict(failure): // with a conflict, it no longer waits
			continue
		}
		if err := t.hinder(ctx, job, notStarted(failure)); err != nil {
			return err
		}
		if refusals++; refusals == maxRefusals || errors.Is(failure, context.DeadlineExceeded) {
			t.pace.wakeAt(t.tracker.now())
			return nil
		}
	}
	return nil
}

// errContested means that the API server found a Job changed twice in a row.
var errContested = errors.New("it is changed all the time")

// start lets a queued Job leave the queue. It returns a conflict if the Job no longer waits there.
func (t *term) start(ctx context.Context, job *batchv1.Job) error {
	err := t.unsuspend(ctx, job)
	if !apierrors.IsConflict(err) {
		return err
	}
	// It has changed. Do not wait for the watch: younger pulls would go first.
	getting, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	changed, getErr := t.jobs.Get(getting, job.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(getErr):
		return err
	case getErr != nil:
		return getErr
	}
	t.tracker.observeJob(changed)
	now := t.tracker.queuedJob(job.Name)
	if now == nil || now.UID != job.UID {
		return err
	}
	if err = t.unsuspend(ctx, now); apierrors.IsConflict(err) {
		return fmt.Errorf("%w: %s", errContested, message(err))
	}
	return err
}

func (t *term) unsuspend(ctx context.Context, job *batchv1.Job) error {
	// With its resourceVersion in the patch, a Job that somebody cancels at this moment is not started.
	// A notice would be outdated should it come back into the queue.
	return t.patch(ctx, job.Name, fmt.Appendf(nil, `{"metadata":{"resourceVersion":%q,"annotations":{%q:null}},"spec":{"suspend":false}}`,
		job.ResourceVersion, pullstate.AnnotationNotice))
}

// queuedJobs returns the Jobs of the queued pulls in the order of their turns: the oldest first, but what could not start stands
// behind those that came before it may be tried again. nextTry returns when that is for a Job that the leader could not start.
func (t *Tracker) queuedJobs(nextTry func(types.UID) time.Time) []*batchv1.Job {
	type waiting struct {
		*tracked
		turn time.Time
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	queued := make([]waiting, 0, len(t.queued))
	for _, tr := range t.queued {
		turn := tr.identity.Created
		for _, at := range []time.Time{tr.notBefore, nextTry(tr.job.UID)} {
			if at.After(turn) {
				turn = at
			}
		}
		queued = append(queued, waiting{tr, turn})
	}
	slices.SortFunc(queued, func(a, b waiting) int { return cmp.Or(a.turn.Compare(b.turn), byAge(a.tracked, b.tracked)) })
	jobs := make([]*batchv1.Job, len(queued))
	for i, w := range queued {
		jobs[i] = w.job
	}
	return jobs
}

// queuedJob returns the Job of a pull if it is queued, nil otherwise.
func (t *Tracker) queuedJob(name string) *batchv1.Job {
	t.mu.Lock()
	defer t.mu.Unlock()
	if tr := t.queued[name]; tr != nil {
		return tr.job
	}
	return nil
}

// byAge is the order in which pulls were made.
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
