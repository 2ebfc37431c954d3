package kube

import (
	"context"
	"encoding/json"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"pullwatch/internal/pull"
	"pullwatch/internal/usererr"
	"pullwatch/kube/pullstate"
)

// Hold keeps a queued pull in the queue until it is released. It takes no slot there, and others pass it. Hold returns the pull's
// state. A pull that is held already stays so; one that has left the queue is a usererr.Conflict.
func (p *Pulls) Hold(ctx context.Context, id string) (*pull.State, error) {
	return guarded(ctx, p, "hold a pull", func(ctx context.Context) (*pull.State, error) { return p.setHeld(ctx, id, true) })
}

// Release lets a pull that is held start in its turn, which is that of its age. It returns the pull's state. A pull that is not
// held stays as it is.
func (p *Pulls) Release(ctx context.Context, id string) (*pull.State, error) {
	return guarded(ctx, p, "release a pull", func(ctx context.Context) (*pull.State, error) { return p.setHeld(ctx, id, false) })
}

func (p *Pulls) setHeld(ctx context.Context, id string, held bool) (*pull.State, error) {
	if err := p.known.AwaitSync(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for {
		job, err := p.get(ctx, id)
		if err != nil {
			return nil, err
		}
		if held {
			if err := holdable(job); err != nil {
				return nil, err
			}
		}
		if pullstate.Held(job) == held {
			return p.publishChanged(ctx, job)
		}
		patch, err := holdPatch(job, held)
		if err != nil {
			return nil, err
		}
		// What refuses changes of Jobs mostly lets their status be changed, which takes annotations as well.
		job, err = p.jobs.Patch(ctx, id, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
		if apierrors.IsConflict(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return p.publishChanged(ctx, job)
	}
}

// holdable returns why a pull cannot be held, nil if it can.
func holdable(job *batchv1.Job) error {
	_, canceled := pullstate.Canceled(job)
	switch {
	case canceled:
		return usererr.New(usererr.Conflict, "pull %s was canceled; only a pull that waits in the queue can be held", job.Name)
	case pullstate.Ended(job), job.DeletionTimestamp != nil:
		return usererr.New(usererr.Conflict, "pull %s has already ended; only a pull that waits in the queue can be held", job.Name)
	case !pullstate.Suspended(job):
		return usererr.New(usererr.Conflict, "pull %s has left the queue, and only a pull that waits there can be held; cancelPull stops it", job.Name)
	}
	return nil
}

// holdPatch returns the merge patch of the Job. With its resourceVersion in the patch, a Job that leaves the queue at this moment
// is not marked as held.
func holdPatch(job *batchv1.Job, held bool) ([]byte, error) {
	hold, err := pullstate.Hold{Held: held, Time: time.Now().UTC()}.Annotation()
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{"metadata": map[string]any{
		"resourceVersion": job.ResourceVersion,
		// Both would be outdated when the pull is released: a notice, and since when it was tried in vain.
		"annotations": map[string]any{pullstate.AnnotationHold: hold, pullstate.AnnotationNotice: nil, pullstate.AnnotationHindrance: nil},
	}})
}

// publishChanged publishes the state of a pull whose Job this replica has just read or changed, and returns it.
func (p *Pulls) publishChanged(ctx context.Context, job *batchv1.Job) (*pull.State, error) {
	state, watched := p.tracker.observeWritten(job)
	switch {
	case state != nil:
	case watched:
		return nil, usererr.New(usererr.NotFound, "pull %s has just been removed", job.Name)
	default:
		var err error
		if state, err = p.publishFound(ctx, job); err != nil {
			return nil, err
		}
	}
	p.known.Flush(ctx)
	return p.newest(state), nil
}
