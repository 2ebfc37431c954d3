package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// term is the time for which a Leader holds the Lease without a break. The leader writes nothing but through it.
type term struct {
	*Leader
	lease lease
	pace  *pace
	// slow is what observeSlowdowns has found out.
	slow []slowdown
}

func newTerm(leader *Leader, lease lease) *term {
	return &term{Leader: leader, lease: lease, pace: newPace()}
}

// queue returns what people have decided about the queue.
func (t *term) queue() queueState {
	state, _ := t.role.lease.queue()
	return state
}

// lease is the leaderelection.LeaderElector that has won the Lease.
type lease interface {
	IsLeader() bool
	// Check returns an error when the Lease was last renewed longer ago than its duration and tolerance.
	Check(tolerance time.Duration) error
}

// errTermOver means that another replica may lead by now.
var errTermOver = errors.New("the Lease is lost")

// check returns errTermOver when the Lease may have run out. A process that was stopped does not know that until it tries to
// renew the Lease, and another replica may lead by then.
func (t *term) check() error {
	if !t.lease.IsLeader() {
		return errTermOver
	}
	if err := t.lease.Check(renewDeadline - leaseDuration); err != nil {
		return fmt.Errorf("%w: %w", errTermOver, err)
	}
	return nil
}

// paced does a write to a Job unless it was done, with the same content, a short while ago. A failure that may be due to the Job is
// logged once and is no error: it keeps nothing else from being done. Nor is a conflict: the watch brings the Job as it is now.
func (t *term) paced(ctx context.Context, w write, name, content string, do func() error) error {
	if !t.pace.due(w, content, t.tracker.now()) {
		return nil
	}
	err := do()
	switch {
	case apierrors.IsConflict(err):
		t.pace.wakeAt(t.tracker.now().Add(shortestPause))
		return nil
	case err != nil && (t.away() || !ofJob(ctx, err)):
		return err
	}
	switch n := t.pace.wrote(w, content, err != nil, t.tracker.now()); {
	case err != nil && n == 1:
		t.logger.Warn("Kubernetes refuses a change of a Job; it is tried again, less and less often", "job", name, "change", w.kind, "error", err)
	case err == nil && n == 2:
		t.logger.Warn("something else undoes a change of a Job; it is tried again, less and less often", "job", name, "change", w.kind)
	}
	return nil
}

// patch changes a Job. A Job that is gone is no error.
func (t *term) patch(ctx context.Context, name string, patch []byte) error {
	return t.write(func() (*batchv1.Job, error) { return patchJob(ctx, t.jobs, name, patch) })
}

// patchOrAnnotate changes a Job or, if that is refused, its annotations only. A Job that is gone is no error.
func (t *term) patchOrAnnotate(ctx context.Context, name string, patch []byte) error {
	return t.write(func() (*batchv1.Job, error) { return patchOrAnnotate(ctx, t.jobs, name, patch) })
}

// annotate sets annotations of a Job, and removes those that are nil. A Job that is gone is no error.
func (t *term) annotate(ctx context.Context, name string, annotations map[string]any) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": annotations}})
	if err != nil {
		return err
	}
	return t.write(func() (*batchv1.Job, error) { return annotateJob(ctx, t.jobs, name, patch) })
}

// write does a write that returns the Job as it is then.
func (t *term) write(do func() (*batchv1.Job, error)) error {
	if err := t.check(); err != nil {
		return err
	}
	job, err := do()
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return err
	}
	t.tracker.observeJob(job)
	return nil
}

// delete deletes a Job and its pods.
func (t *term) delete(ctx context.Context, job *batchv1.Job) error {
	if err := t.check(); err != nil {
		return err
	}
	if err := deleteJob(ctx, t.jobs, job); err != nil {
		return err
	}
	t.tracker.observeDeleted(job)
	return nil
}
