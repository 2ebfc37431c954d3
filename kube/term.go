package kube

import (
	"context"
	"errors"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// term is the time for which a Leader holds the Lease without a break. The leader writes nothing but through it.
type term struct {
	*Leader
	lease lease
	pace  *pace
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

// paced does a write to a Job unless it was done, with the same content, a short while ago. A refusal is logged once and is no error:
// it keeps nothing else from being done.
func (t *term) paced(w write, name, content string, do func() error) error {
	if !t.pace.due(w, content, t.tracker.now()) {
		return nil
	}
	err := do()
	if err != nil && !refused(err) {
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

// patch changes a Job, or a subresource of it. A Job that is gone is no error.
func (t *term) patch(ctx context.Context, name string, patch []byte, subresources ...string) error {
	if err := t.check(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	job, err := t.jobs.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{}, subresources...)
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
