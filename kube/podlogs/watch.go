package podlogs

import (
	"context"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"pullwatch/internal/podlog"
	"pullwatch/internal/usererr"
	"pullwatch/kube/listwatch"
)

// WatchPods implements podlog.Source.
func (p *Source) WatchPods(ctx context.Context, target podlog.Target, deliver func(podlog.Snapshot)) error {
	w := &targetWatch{client: p.client, target: target, deliver: deliver, pods: map[types.UID]targetPod{},
		relistPods: make(chan struct{}, 1), lookup: make(chan struct{}, 1)}
	if target.Workload.Kind != "" {
		if err := w.findWorkload(ctx); err != nil {
			return err
		}
	}
	pods, err := w.podWatch()
	if err != nil {
		return err
	}
	var jobs *listwatch.ListWatch
	switch {
	case target.Job != "":
		jobs = w.jobWatch()
	case target.Workload.Kind == podlog.CronJob:
		jobs = w.cronJobWatch()
	}
	if jobs != nil {
		if err := jobs.Start(ctx); err != nil {
			return w.startError(ctx, err, "jobs")
		}
	}
	// List pods after Jobs, so that a finished Job is seen with all its pods.
	if err := pods.Start(ctx); err != nil {
		return w.startError(ctx, err, "pods")
	}
	if err := w.requireNamespace(ctx); err != nil {
		return err
	}
	w.publish(func() { w.ready = true })

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return w.watchError(pods.Follow(ctx), "pods") })
	group.Go(func() error { return w.lookUpMissing(ctx) })
	if jobs != nil {
		group.Go(func() error { return w.watchError(jobs.Follow(ctx), "jobs") })
	}
	return group.Wait()
}

// startError returns the caller's error for a list that has failed at the start.
func (w *targetWatch) startError(ctx context.Context, err error, resource string) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if usererr.CodeOf(err) != usererr.Internal || apierrors.IsForbidden(err) {
		return w.watchError(err, resource)
	}
	return usererr.Wrap(err, usererr.Unavailable, "the Kubernetes API does not answer; try again in a moment")
}

// watchError returns the caller's error for a watch that has failed.
func (w *targetWatch) watchError(err error, resource string) error {
	if apierrors.IsForbidden(err) {
		return forbiddenToWatch(err, resource, w.target.Namespace)
	}
	return err
}
