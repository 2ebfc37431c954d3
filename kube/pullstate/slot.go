package pullstate

import (
	"iter"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// goneAfter is how long a pod may stay beyond its deletionTimestamp, which is when it is to have ended. What stays longer is on a
// node that does not answer, or is kept by a finalizer.
const goneAfter = 30 * time.Second

// HoldsSlot reports whether a pull counts among those that run: Kubernetes runs copiers for its Job, or one may still run. If until
// is not zero, it no longer counts from then on. job is nil when it is gone; pods may hold some of other Jobs.
func HoldsSlot(job *batchv1.Job, pods iter.Seq[*corev1.Pod]) (held bool, until time.Time) {
	ending := false
	if job != nil {
		ending = Condition(job, batchv1.JobFailureTarget) != nil || Condition(job, batchv1.JobSuccessCriteriaMet) != nil
		switch {
		case Finished(job):
			return false, time.Time{}
		case !Suspended(job) && job.DeletionTimestamp == nil && !ending:
			return true, time.Time{} // it may get another pod
		}
	}
	known := false
	for pod := range pods {
		owner := metav1.GetControllerOf(pod)
		if owner == nil || owner.Kind != "Job" || (job != nil && owner.UID != job.UID) {
			continue
		}
		known = true
		if podEnded(pod) && !ending { // the Job of one that has ended is about to say so
			continue
		}
		if pod.DeletionTimestamp == nil {
			return true, time.Time{}
		}
		held = true
		if at := pod.DeletionTimestamp.Add(goneAfter); at.After(until) {
			until = at
		}
	}
	return held || (ending && !known), until // a pod of an ending Job may not be known yet
}

// podEnded reports whether a pod's copier will not run again.
func podEnded(pod *corev1.Pod) bool {
	copier := CopierStatus(pod)
	return pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded || (copier != nil && copier.State.Terminated != nil)
}
