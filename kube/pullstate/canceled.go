package pullstate

import (
	"encoding/json"
	"time"

	batchv1 "k8s.io/api/batch/v1"

	"pullwatch/internal/pull"
)

// Cancellation is the end of a pull that somebody asked for, or that is given up for another one.
type Cancellation struct {
	// Last is the pull's state before.
	Last *pull.State
	At   time.Time
	// Stopping is true when a copier of the pull runs, which Kubernetes then stops.
	Stopping bool
	// Instead is the id of the pull that does the same instead; empty for none.
	Instead string
	// ResourceVersion is that of the Job to change; empty for whichever it is.
	ResourceVersion string
}

// canceledState is how far a pull was when it was canceled. The replica that cancels writes it for all: each replica knows a
// little more or less of the copier at that moment, and Kubernetes changes the Job's status afterwards.
type canceledState struct {
	Attempts int `json:"attempts"`
	// Percent may be more than Last says: it does not fall when an upload fails.
	Percent int         `json:"percent,omitempty"`
	Last    pull.Report `json:"last,omitzero"`
	// Started is when the pull left the queue, the zero time if it had not. It is nil where an earlier version wrote it.
	Started *time.Time `json:"started,omitempty"`
	// Stopping and Instead are those of Cancellation.
	Stopping bool   `json:"stopping,omitempty"`
	Instead  string `json:"instead,omitempty"`
}

// Patch returns the merge patch of the Job. It suspends the Job in the same write that marks it as canceled: Kubernetes then stops
// its pods, whatever becomes of the Job.
func (c Cancellation) Patch() ([]byte, error) {
	report := pull.Report{BytesDone: c.Last.Progress.BytesDone, BytesTotal: c.Last.Progress.BytesTotal}
	if c.Last.Image.Digest != nil {
		report.Image = *c.Last.Image.Digest
	}
	state, err := json.Marshal(canceledState{
		Attempts: c.Last.Attempts, Percent: c.Last.Progress.Percent, Last: report, Started: &c.Last.StartedAt, Stopping: c.Stopping, Instead: c.Instead,
	})
	if err != nil {
		return nil, err
	}
	metadata := map[string]any{"annotations": map[string]string{
		AnnotationCanceled: c.At.UTC().Format(time.RFC3339Nano), AnnotationCanceledState: string(state),
	}}
	if c.ResourceVersion != "" {
		metadata["resourceVersion"] = c.ResourceVersion
	}
	return json.Marshal(map[string]any{"metadata": metadata, "spec": map[string]bool{"suspend": true}})
}

// Canceled returns when the pull of a Job was canceled, and whether it was.
func Canceled(job *batchv1.Job) (time.Time, bool) {
	at, err := time.Parse(time.RFC3339Nano, job.Annotations[AnnotationCanceled])
	return at.UTC(), err == nil
}

// readCanceledState returns what a Cancellation wrote, nil when there is nothing that can be read.
func readCanceledState(job *batchv1.Job) *canceledState {
	var c canceledState
	if err := json.Unmarshal([]byte(job.Annotations[AnnotationCanceledState]), &c); err != nil {
		return nil
	}
	return &c
}

// canceled fills in the state of a pull that was canceled. It depends on what was written on the Job alone: the pods go with the
// Job, and each replica has seen something else of them.
func (v *View) canceled(s *pull.State) {
	last := readCanceledState(v.job)
	if last == nil {
		last = &canceledState{}
		if v.rec != nil {
			last.Attempts, last.Last = v.rec.Attempts, v.rec.Last
			last.Last.Image = v.rec.image()
		}
	}
	s.Phase, s.Message, s.FinishedAt = pull.Canceled, "Canceled.", *v.canceledAt
	switch {
	case last.Instead != "":
		s.Message = "Canceled: pull " + last.Instead + " was started a moment before and copies the same."
	case last.Stopping:
		s.Message = "Canceled. Its copier was told to stop."
	}
	if last.Started != nil {
		s.StartedAt = last.Started.UTC()
	}
	s.Attempts, s.Progress = last.Attempts, progressOf(last.Last, false)
	s.Progress.Percent = max(s.Progress.Percent, last.Percent)
	s.Revision = pull.Revision{Cluster: Version(v.job)}
	if s.Image.Digest == nil && last.Last.Image != "" {
		s.Image.Digest = &last.Last.Image
	}
	s.UpdatedAt = v.updatedAt(s)
}
