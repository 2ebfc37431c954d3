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

// prune deletes the Jobs beyond maxHistory, and those of canceled pulls: their name was held when they were canceled, or their
// deletion failed.
func (t *term) prune(ctx context.Context) error {
	var errs []error
	for _, job := range t.tracker.prunable(maxHistory) {
		if err := t.delete(ctx, job); err != nil {
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

// due returns a channel that has a value when there may be work though nothing has changed: the name of a canceled pull's Job is no
// longer held, or a pull no longer holds its slot. It is nil if there is no such moment.
func (t *Tracker) due() <-chan time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	_, next := t.slotsHeldLocked()
	for name := range t.canceled {
		if left := nameHeld(name, now); left > 0 && (next.IsZero() || now.Add(left).Before(next)) {
			next = now.Add(left)
		}
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
