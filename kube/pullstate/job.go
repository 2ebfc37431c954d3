package pullstate

import (
	"fmt"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"pullwatch/internal/pull"
)

// Annotations of a pull's Job.
const (
	// Prefix begins the names of all labels and annotations that are pullwatch's own.
	Prefix = "pullwatch/"

	AnnotationImage       = Prefix + "image"
	AnnotationDestination = Prefix + "destination"
	// AnnotationPlatforms holds what pull.JoinPlatforms returns; a Job that copies all platforms has none.
	AnnotationPlatforms = Prefix + "platforms"
	AnnotationRetryOf   = Prefix + "retry-of"
	// AnnotationCreated is the creation time with nanoseconds: Kubernetes keeps seconds, which is too coarse to start
	// the pulls of one call in the order in which they were given.
	AnnotationCreated = Prefix + "created"
	// AnnotationRecord holds a Record in JSON.
	AnnotationRecord = Prefix + "record"
	// AnnotationHindrance holds a Hindrance in JSON.
	AnnotationHindrance = Prefix + "hindrance"
	// AnnotationHold holds a Hold in JSON.
	AnnotationHold = Prefix + "hold"
	// AnnotationNotice holds a Notice in JSON.
	AnnotationNotice = Prefix + "notice"
	// AnnotationCanceled holds when the pull was canceled. It is set, and the Job suspended, before the Job is deleted.
	AnnotationCanceled = Prefix + "canceled"
	// AnnotationCanceledState holds, in JSON, how far the pull was then. It is set with AnnotationCanceled.
	AnnotationCanceledState = Prefix + "canceled-state"
)

// Identity is the part of a pull's state that never changes.
type Identity struct {
	Image, Destination pull.ImageReference
	Platforms          []string
	Created            time.Time
	RetryOf            *string
}

// Identify reads a pull's identity from its Job's annotations. An error means that the Job is not one of pullwatch's.
func Identify(job *batchv1.Job) (Identity, error) {
	image, err := pull.ParseImage(job.Annotations[AnnotationImage])
	if err != nil {
		return Identity{}, fmt.Errorf("annotation %s: %w", AnnotationImage, err)
	}
	destination, err := pull.ParseImage(job.Annotations[AnnotationDestination])
	if err != nil {
		return Identity{}, fmt.Errorf("annotation %s: %w", AnnotationDestination, err)
	}
	platforms, err := pull.SplitPlatforms(job.Annotations[AnnotationPlatforms])
	if err != nil {
		return Identity{}, fmt.Errorf("annotation %s: %w", AnnotationPlatforms, err)
	}
	created, err := time.Parse(time.RFC3339Nano, job.Annotations[AnnotationCreated])
	if err != nil {
		created = job.CreationTimestamp.Time
	}
	id := Identity{Image: image, Destination: destination, Platforms: platforms, Created: created.UTC()}
	if of := job.Annotations[AnnotationRetryOf]; of != "" {
		id.RetryOf = &of
	}
	return id, nil
}

// Condition returns a Job's condition if it is true, nil otherwise.
func Condition(job *batchv1.Job, kind batchv1.JobConditionType) *batchv1.JobCondition {
	for i := range job.Status.Conditions {
		if c := &job.Status.Conditions[i]; c.Type == kind && c.Status == corev1.ConditionTrue {
			return c
		}
	}
	return nil
}

// Finished reports whether the Job has ended by itself.
func Finished(job *batchv1.Job) bool {
	return Condition(job, batchv1.JobComplete) != nil || Condition(job, batchv1.JobFailed) != nil
}

// exhausted reports whether the Job's attempts have failed as often as they may. An attempt that Kubernetes stopped, such as one that was
// evicted, does not count. The Job controller takes its finalizer off a pod once it has noted in the Job's status that the pod failed.
func (v *View) exhausted() bool {
	limit, status := v.job.Spec.BackoffLimit, v.job.Status
	if limit == nil {
		return false
	}
	failed := int(status.Failed)
	var noted []types.UID
	if status.UncountedTerminatedPods != nil {
		noted = status.UncountedTerminatedPods.Failed
	}
	failed += len(noted)
	if n := v.newest; n != nil && n.ended && disruption(n.pod) == "" && !slices.Contains(noted, n.pod.UID) &&
		slices.Contains(n.pod.Finalizers, batchv1.JobTrackingFinalizer) {
		failed++
	}
	return failed > int(*limit)
}

// Suspended reports whether Kubernetes runs no pods for the Job.
func Suspended(job *batchv1.Job) bool { return job.Spec.Suspend != nil && *job.Spec.Suspend }
