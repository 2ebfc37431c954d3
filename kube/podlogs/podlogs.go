// Package podlogs reads the logs of pods from the Kubernetes API. NewClient makes a client for that (client.go). Source opens
// logs (podlogs.go), and watches the pods of a podlog.Target (watch.go): workload.go finds the pods of a workload, target.go
// lists and watches the target's Job and pods, missing.go finds out what became of pods that these do not show any more, and
// pod.go turns a pod into a podlog.Pod.
package podlogs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"pullwatch/internal/podlog"
	"pullwatch/internal/usererr"
)

// Source is the podlog.Source of a cluster. In a stream's namespace its client needs list and watch for pods, and for Jobs
// when the logs of a Job or CronJob are asked for, get for pods/log, and get for a workload whose logs are asked for. With get for namespaces, a caller learns that a namespace does not
// exist. The client must have no timeout, which would cut logs short, and be allowed some 50 requests at once; NewClient
// makes such a client.
type Source struct {
	client kubernetes.Interface
}

// New returns a Source that asks client.
func New(client kubernetes.Interface) *Source { return &Source{client: client} }

var _ podlog.Source = (*Source)(nil)

// openTimeout bounds how long the response to a request for a log may take to begin, unless the log is followed: then it
// begins with the first line, whenever that comes.
const openTimeout = 30 * time.Second

// OpenLog implements podlog.Source.
func (p *Source) OpenLog(ctx context.Context, req podlog.LogRequest) (io.ReadCloser, error) {
	options := &corev1.PodLogOptions{
		Container:  req.Container,
		Follow:     req.Follow,
		Previous:   req.Previous,
		Timestamps: true,
	}
	if req.Tail != nil {
		tail := int64(*req.Tail)
		options.TailLines = &tail
	}
	if !req.Since.IsZero() {
		since := metav1.NewTime(req.Since)
		options.SinceTime = &since
	}
	ctx, cancel := context.WithCancelCause(ctx)
	if !req.Follow {
		late := fmt.Errorf("no answer within %v", openTimeout)
		timer := time.AfterFunc(openTimeout, func() { cancel(late) })
		defer timer.Stop()
	}
	body, err := p.client.CoreV1().Pods(req.Namespace).GetLogs(req.Pod, options).Stream(ctx)
	if err != nil {
		cause := context.Cause(ctx)
		cancel(nil)
		return nil, openLogError(err, cause, req.Namespace, req.Pod)
	}
	return &logBody{ReadCloser: body, cancel: cancel}, nil
}

// logBody ends its request's context when it is closed.
type logBody struct {
	io.ReadCloser
	cancel context.CancelCauseFunc
}

func (b *logBody) Close() error {
	b.cancel(nil)
	return b.ReadCloser.Close()
}

func openLogError(err, cause error, namespace, pod string) error {
	switch {
	case apierrors.IsForbidden(err):
		return usererr.Wrap(err, usererr.Forbidden, "pullwatch is not allowed to get pods/log in namespace %s: %s", namespace,
			needsBinding)
	case isMissing(err, "pods", pod):
		return fmt.Errorf("%w: %w", podlog.ErrGone, err)
	case apierrors.IsNotFound(err):
		return fmt.Errorf("%w: %w", podlog.ErrUnknown, err)
	case apierrors.IsBadRequest(err):
		return fmt.Errorf("%w: %w", podlog.ErrNoLog, err)
	case cause != nil:
		return cause
	default:
		return err
	}
}

// needsBinding says which rights are missing. The manifests have the ClusterRole.
const needsBinding = "its service account needs a RoleBinding there, to the ClusterRole pullwatch-podlogs or one that " +
	"allows as much"

// forbiddenToWatch is the error for a list or watch that is forbidden. Kubernetes forbids it in a missing namespace, too.
func forbiddenToWatch(err error, resource, namespace string) error {
	return usererr.Wrap(err, usererr.Forbidden, "pullwatch is not allowed to list and watch %s in namespace %s: either there "+
		"is no such namespace, or %s", resource, namespace, needsBinding)
}

// isMissing reports whether err says that there is no object of that name. Other 404s come from a proxy, or from a node that
// does not know the pod yet.
func isMissing(err error, resource, name string) bool {
	status, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok || !apierrors.IsNotFound(err) || apierrors.IsUnexpectedServerError(err) {
		return false
	}
	details := status.ErrStatus.Details
	return details != nil && details.Kind == resource && details.Name == name
}
