package kube

import (
	"context"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"pullwatch/internal/pull"
	"pullwatch/internal/usererr"
	"pullwatch/kube/pullstate"
)

// Cancel stops a pull that has not ended and deletes its Job. It returns the pull's last state. One write marks the Job as canceled
// and suspends it, so Kubernetes stops the copier even if the Job is not deleted at once: its name is held (jobname.go), its deletion
// is refused, or a finalizer keeps it. Until the copier has ended, the pull counts among those that run (pullstate.HoldsSlot).
func (p *Pulls) Cancel(ctx context.Context, id string) (*pull.State, error) {
	return guarded(ctx, p, "cancel a pull", func(ctx context.Context) (*pull.State, error) { return p.cancel(ctx, id) })
}

func (p *Pulls) cancel(ctx context.Context, id string) (*pull.State, error) {
	if err := p.known.AwaitSync(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for {
		job, err := p.get(ctx, id)
		if last := p.known.Latest(id); usererr.CodeOf(err) == usererr.NotFound && last != nil && last.Phase == pull.Canceled {
			return last, nil // another call canceled it
		}
		if err != nil {
			return nil, err
		}
		if _, canceled := pullstate.Canceled(job); canceled { // and not deleted yet
			return p.deleteCanceled(ctx, job)
		}
		view, err := p.view(ctx, job)
		if err != nil {
			return nil, err
		}
		if view.State().Phase.Final() {
			return nil, usererr.New(usererr.Conflict, "pull %s has already ended; only a pull that has not can be canceled", id)
		}
		patch, err := p.cancellation(view, job)
		if err != nil {
			return nil, err
		}
		change := patchJob
		if pullstate.Suspended(job) && job.Status.Active == 0 { // there is nothing to stop
			change = patchOrAnnotate
		}
		marked, err := change(ctx, p.jobs, id, patch)
		if apierrors.IsConflict(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return p.deleteCanceled(ctx, marked)
	}
}

// cancellation returns the patch that marks a Job as canceled, with the pull's last state, and suspends it. The API server knows best
// how many attempts there were. The known state has what the copier wrote. With its resourceVersion in the patch, a Job that ends at
// this moment is not marked as canceled.
func (p *Pulls) cancellation(view *pullstate.View, job *batchv1.Job) ([]byte, error) {
	last := view.State()
	if known := p.known.Latest(job.Name); known != nil && known.CreatedAt.Equal(last.CreatedAt) && known.Attempts >= last.Attempts {
		last = known
	}
	return pullstate.Cancellation{
		Last: last, At: time.Now(), Stopping: view.CopierRuns(), ResourceVersion: job.ResourceVersion,
	}.Patch()
}

// deleteCanceled deletes the Job of a pull that is marked as canceled, and returns the pull's last state.
func (p *Pulls) deleteCanceled(ctx context.Context, job *batchv1.Job) (*pull.State, error) {
	state, err := p.endCanceled(ctx, job)
	if err != nil {
		return nil, err
	}
	p.known.Flush(ctx)
	return p.newest(state), nil
}

// endCanceled publishes the last state of a pull whose Job is marked as canceled, and deletes the Job. It leaves a Job whose name is
// held to the leader.
func (p *Pulls) endCanceled(ctx context.Context, job *batchv1.Job) (*pull.State, error) {
	state, err := p.publishWritten(job)
	if err != nil || nameHeld(job.Name, time.Now()) > 0 {
		return state, err
	}
	if err := deleteJob(ctx, p.jobs, job); err != nil {
		p.logger.Warn("a canceled pull's Job could not be deleted; the leader will", "job", job.Name, "error", err)
	} else {
		p.retireDeleted(job)
	}
	return state, nil
}
