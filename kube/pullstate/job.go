package pullstate

import (
	"encoding/json"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

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
	// AnnotationCanceled holds when the pull was canceled. It is set before the Job is deleted.
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

// Canceled returns when the pull of a Job was canceled, and whether it was.
func Canceled(job *batchv1.Job) (time.Time, bool) {
	at, err := time.Parse(time.RFC3339Nano, job.Annotations[AnnotationCanceled])
	return at.UTC(), err == nil
}

// canceledState is how far a pull was when it was canceled. The replica that cancels writes it for all: each replica knows a
// little more or less of the copier at that moment.
type canceledState struct {
	Attempts int `json:"attempts"`
	// Percent may be more than Last says: it does not fall when an upload fails.
	Percent int         `json:"percent,omitempty"`
	Last    pull.Report `json:"last,omitzero"`
	// Instead is the id of the pull that does the same instead; empty for none.
	Instead string `json:"instead,omitempty"`
}

// CancelAnnotations returns the annotations that mark a Job as canceled at a time, with the last state of its pull. instead is the
// id of the pull that does the same instead; empty for none.
func CancelAnnotations(last *pull.State, at time.Time, instead string) (map[string]string, error) {
	report := pull.Report{BytesDone: last.Progress.BytesDone, BytesTotal: last.Progress.BytesTotal}
	if last.Image.Digest != nil {
		report.Image = *last.Image.Digest
	}
	text, err := json.Marshal(canceledState{Attempts: last.Attempts, Percent: last.Progress.Percent, Last: report, Instead: instead})
	return map[string]string{AnnotationCanceled: at.UTC().Format(time.RFC3339Nano), AnnotationCanceledState: string(text)}, err
}

// readCanceledState returns what CancelAnnotations wrote, nil when there is nothing that can be read.
func readCanceledState(job *batchv1.Job) *canceledState {
	var c canceledState
	if err := json.Unmarshal([]byte(job.Annotations[AnnotationCanceledState]), &c); err != nil {
		return nil
	}
	return &c
}
