package kube

import (
	"context"
	"errors"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	batchv1client "k8s.io/client-go/kubernetes/typed/batch/v1"

	"pullwatch/internal/pull"
)

// maxHistory is how many failed and how many succeeded Jobs stay until their TTL. The oldest go first.
const maxHistory = 500

// prune deletes the Jobs beyond maxHistory, those of canceled pulls, if their name was held when they were canceled or their deletion
// failed, and those of pulls that were given up long ago: Kubernetes does not take these for finished.
func (t *term) prune(ctx context.Context) error {
	var errs []error
	for _, job := range t.tracker.prunable(maxHistory) {
		err := t.paced(ctx, write{job.UID, writeDelete}, job.Name, "", func() error { return t.delete(ctx, job) })
		if err != nil {
			errs = append(errs, fmt.Errorf("prune history: delete Job %s: %w", job.Name, err))
		}
	}
	return errors.Join(errs...)
}

// prunable returns the Jobs that prune deletes when keep is the longest history.
func (t *Tracker) prunable(keep int) []*batchv1.Job {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	var jobs []*batchv1.Job
	for _, tr := range t.canceled {
		if tr.job.DeletionTimestamp == nil && nameHeld(tr.job.Name, now) == 0 {
			jobs = append(jobs, tr.job)
		}
	}
	for _, tr := range t.givenUp {
		if tr.job.DeletionTimestamp == nil && !now.Before(tr.historyEnd()) {
			jobs = append(jobs, tr.job)
		}
	}
	for _, s := range []set{t.failed, t.succeeded} {
		if len(s) <= keep {
			continue
		}
		states := make([]*pull.State, 0, len(s))
		for _, tr := range s {
			states = append(states, tr.state)
		}
		pull.SortFailed(states)
		for _, state := range states[keep:] {
			jobs = append(jobs, s[state.ID].job)
		}
	}
	return jobs
}

// historyEnd returns when the Job of a pull that was given up is deleted.
func (tr *tracked) historyEnd() time.Time {
	ttl := time.Duration(0)
	if seconds := tr.job.Spec.TTLSecondsAfterFinished; seconds != nil {
		ttl = time.Duration(*seconds) * time.Second
	}
	return tr.state.FinishedAt.Add(ttl)
}

// due returns a channel that has a value at the time again, or before when there may be work though nothing has changed: the name of a
// canceled pull's Job is no longer held, a pull no longer holds its slot, or a Job has been in the history for long enough. It is nil
// if there is no such moment.
func (t *Tracker) due(again time.Time) <-chan time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, next := t.now(), again
	earlier := func(at time.Time) {
		if at.After(now) && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	_, slotFree := t.slotsHeldLocked()
	earlier(slotFree)
	for name := range t.canceled {
		earlier(now.Add(nameHeld(name, now)))
	}
	for _, tr := range t.givenUp {
		earlier(tr.historyEnd())
	}
	if next.IsZero() {
		return nil
	}
	return time.After(next.Sub(now))
}

// deleteJob deletes a Job; Kubernetes then deletes its pods. A Job that is gone already is no error.
func deleteJob(ctx context.Context, jobs batchv1client.JobInterface, job *batchv1.Job) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := jobs.Delete(ctx, job.Name, metav1.DeleteOptions{
		PropagationPolicy: new(metav1.DeletePropagationBackground),
		Preconditions:     &metav1.Preconditions{UID: &job.UID},
	})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) { // a conflict: the name is another Job's by now
		return nil
	}
	return err
}
