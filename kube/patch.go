package kube

import (
	"context"
	"errors"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	batchv1client "k8s.io/client-go/kubernetes/typed/batch/v1"
)

// patchOrAnnotate applies a merge patch to a Job. If that is refused, it applies the patch to the Job's status, which takes its annotations
// and not its spec: what refuses changes of Jobs mostly lets their status be changed. The error is that of the Job itself.
func patchOrAnnotate(ctx context.Context, jobs batchv1client.JobInterface, name string, patch []byte) (*batchv1.Job, error) {
	job, err := patchJob(ctx, jobs, name, patch)
	if ofJob(ctx, err) {
		if byStatus, e := patchResource(ctx, jobs, name, patch, "status"); e == nil {
			return byStatus, nil
		}
	}
	return job, err
}

// annotateJob applies a merge patch of annotations to a Job's status or, if that is refused, to the Job itself: roles of earlier
// versions do not allow to change the status. The error is that of the Job itself.
func annotateJob(ctx context.Context, jobs batchv1client.JobInterface, name string, patch []byte) (*batchv1.Job, error) {
	job, err := patchResource(ctx, jobs, name, patch, "status")
	if ofJob(ctx, err) {
		return patchJob(ctx, jobs, name, patch)
	}
	return job, err
}

// patchJob applies a merge patch to a Job and to nothing else.
func patchJob(ctx context.Context, jobs batchv1client.JobInterface, name string, patch []byte) (*batchv1.Job, error) {
	return patchResource(ctx, jobs, name, patch)
}

func patchResource(ctx context.Context, jobs batchv1client.JobInterface, name string, patch []byte, subresources ...string) (*batchv1.Job, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return jobs.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{}, subresources...)
}

// ofJob reports whether a request for one Job may have failed because of that Job: the API server refused it, or a webhook that it
// asks keeps it waiting. ctx is the request's, without callTimeout.
func ofJob(ctx context.Context, err error) bool {
	return ctx.Err() == nil && (refused(err) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errContested))
}
