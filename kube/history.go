package kube

import (
	"context"
	"errors"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	batchv1client "k8s.io/client-go/kubernetes/typed/batch/v1"

	"pullwatch/internal/pull"
)

// maxHistory is how many failed and how many succeeded Jobs stay until their TTL. The oldest go first.
const maxHistory = 500

// prune deletes the Jobs beyond maxHistory, and those whose deletion failed when they were canceled.
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
	var jobs []*batchv1.Job
	for _, tr := range t.canceled {
		if tr.job.DeletionTimestamp == nil {
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
