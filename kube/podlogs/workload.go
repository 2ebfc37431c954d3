package podlogs

import (
	"context"
	"maps"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"pullwatch/internal/podlog"
	"pullwatch/internal/usererr"
	"pullwatch/kube/listwatch"
)

// findWorkload sets the selector of the target's workload. Its error is WatchPods's.
func (w *targetWatch) findWorkload(ctx context.Context) error {
	getting, cancel := context.WithTimeout(ctx, listwatch.ListTimeout)
	defer cancel()
	selector, err := w.workloadSelector(getting)
	t := &w.target
	resource := t.Workload.Kind + "s"
	switch {
	case isMissing(err, resource, t.Workload.Name):
		return usererr.New(usererr.NotFound, "there is no %s in namespace %s", t.Workload, t.Namespace)
	case apierrors.IsForbidden(err):
		return usererr.Wrap(err, usererr.Forbidden, "pullwatch is not allowed to get %s in namespace %s: either there is no such "+
			"namespace, or %s", resource, t.Namespace, needsBinding)
	case err != nil:
		return w.startError(ctx, err, resource)
	}
	t.Selector = selector
	return nil
}

// workloadSelector returns the selector of the workload's pods. For a CronJob, selectJobs narrows it to the pods of its Jobs, which
// need not have a label in common.
func (w *targetWatch) workloadSelector(ctx context.Context) (string, error) {
	namespace, name := w.target.Namespace, w.target.Workload.Name
	var labels *metav1.LabelSelector
	switch w.target.Workload.Kind {
	case podlog.Deployment:
		found, err := w.client.AppsV1().Deployments(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return "", err
		}
		labels = found.Spec.Selector
	case podlog.StatefulSet:
		found, err := w.client.AppsV1().StatefulSets(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return "", err
		}
		labels = found.Spec.Selector
	case podlog.DaemonSet:
		found, err := w.client.AppsV1().DaemonSets(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return "", err
		}
		labels = found.Spec.Selector
	default:
		_, err := w.client.BatchV1().CronJobs(namespace).Get(ctx, name, metav1.GetOptions{})
		return batchv1.JobNameLabel, err
	}
	selector, err := metav1.LabelSelectorAsSelector(labels)
	if err != nil {
		return "", err
	}
	return selector.String(), nil
}

// cronJob is a Job of a CronJob.
type cronJob struct {
	name string
	gone bool
}

// cronJobWatch keeps cronJobs up to date.
func (w *targetWatch) cronJobWatch() *listwatch.ListWatch {
	w.cronJobs = map[types.UID]cronJob{}
	return &listwatch.ListWatch{
		List: w.listCronJobs,
		Open: w.client.BatchV1().Jobs(w.target.Namespace).Watch,
		Apply: func(event watch.Event) {
			job, ok := event.Object.(*batchv1.Job)
			if !ok || !w.isOfCronJob(job) {
				return
			}
			w.publish(func() {
				w.setCronJob(job, event.Type == watch.Deleted)
				w.forgetJobs()
			})
		},
	}
}

func (w *targetWatch) listCronJobs(ctx context.Context, options metav1.ListOptions) (string, error) {
	list, err := w.client.BatchV1().Jobs(w.target.Namespace).List(ctx, options)
	if err != nil {
		return "", err
	}
	w.publish(func() {
		for uid, job := range w.cronJobs {
			job.gone = true
			w.cronJobs[uid] = job
		}
		for i := range list.Items {
			if job := &list.Items[i]; w.isOfCronJob(job) {
				w.setCronJob(job, false)
			}
		}
		w.forgetJobs()
	})
	return list.ResourceVersion, nil
}

// setCronJob notes a Job of the CronJob. mu is held.
func (w *targetWatch) setCronJob(job *batchv1.Job, gone bool) {
	if _, known := w.cronJobs[job.UID]; !known {
		w.relist()
	}
	w.cronJobs[job.UID] = cronJob{name: job.Name, gone: gone}
}

// selectJobs makes options select only pods of the CronJob's Jobs, if the target is one.
func (w *targetWatch) selectJobs(options *metav1.ListOptions) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.cronJobs == nil:
	case len(w.cronJobs) == 0:
		options.LabelSelector = batchv1.JobNameLabel + ",!" + batchv1.JobNameLabel // no pod
	default:
		var names []string
		for _, job := range w.cronJobs {
			names = append(names, job.name)
		}
		slices.Sort(names)
		options.LabelSelector = batchv1.JobNameLabel + " in (" + strings.Join(names, ",") + ")"
	}
}

func (w *targetWatch) isOfCronJob(job *batchv1.Job) bool {
	owner := metav1.GetControllerOf(job)
	return owner != nil && owner.Kind == "CronJob" && owner.Name == w.target.Workload.Name
}

// forgetJobs forgets Jobs of a CronJob that are gone and have no pods any more. mu is held.
func (w *targetWatch) forgetJobs() {
	pods := slices.Collect(maps.Values(w.pods))
	maps.DeleteFunc(w.cronJobs, func(uid types.UID, job cronJob) bool {
		return job.gone && !slices.ContainsFunc(pods, func(pod targetPod) bool { return pod.controller == uid })
	})
}

// owns reports whether a pod that the selector matches is of the target. mu is held.
func (w *targetWatch) owns(pod targetPod) bool {
	switch {
	case w.target.Job != "":
		return w.job.uid != "" && pod.controller == w.job.uid
	case w.cronJobs != nil:
		_, ok := w.cronJobs[pod.controller]
		return ok
	default:
		return true
	}
}
