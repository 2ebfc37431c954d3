package pullstate

import (
	"encoding/json"
	"time"

	batchv1 "k8s.io/api/batch/v1"

	"pullwatch/internal/pull"
)

// Hindrance is what the leader writes on a Job that does not leave the queue although a slot is free.
type Hindrance struct {
	// Since is when the leader first tried to start the Job in vain. It stays when the message changes, and when another replica leads.
	Since time.Time `json:"since"`
	// Message says, in sentences for people, what keeps the Job from running.
	Message string `json:"message"`
	// GivenUp is when the pull was given up for that; zero while it is tried on.
	GivenUp time.Time `json:"givenUp,omitzero"`
}

// Annotation returns the value of AnnotationHindrance.
func (h Hindrance) Annotation() (string, error) {
	text, err := json.Marshal(h)
	return string(text), err
}

// ReadHindrance returns the Hindrance on a Job, nil when there is none that can be read.
func ReadHindrance(job *batchv1.Job) *Hindrance {
	var h Hindrance
	if json.Unmarshal([]byte(job.Annotations[AnnotationHindrance]), &h) != nil {
		return nil
	}
	return &h
}

// GivenUp returns when a pull was given up whose Job could not be started, and whether it was.
func GivenUp(job *batchv1.Job) (time.Time, bool) {
	h := ReadHindrance(job)
	if h == nil || h.GivenUp.IsZero() {
		return time.Time{}, false
	}
	return h.GivenUp.UTC(), true
}

// Failed reports whether the pull of a Job has failed. A Job whose image is copied may fail, but its pull does not.
func Failed(job *batchv1.Job) bool {
	_, givenUp := GivenUp(job)
	return givenUp || (Condition(job, batchv1.JobFailed) != nil && !ReadRecord(job).copied())
}

// Ended reports whether the pull of a Job has ended without being canceled.
func Ended(job *batchv1.Job) bool { return Finished(job) || Failed(job) }

// triedAgain follows what keeps a Job in the queue, while it is tried on.
const triedAgain = " It is tried again, after longer and longer pauses."

// givenUp fills in the state of a pull that was given up.
func (v *View) givenUp(s *pull.State, h *Hindrance) {
	s.Phase, s.FinishedAt = pull.Failed, h.GivenUp.UTC()
	s.Failure = &pull.Failure{
		Reason: pull.Refused, LogTail: []string{},
		Message: pull.Truncate("Did not start in "+h.GivenUp.Sub(h.Since).Round(time.Second).String()+". "+h.Message, pull.MaxFailureMessage),
	}
	s.Message = s.Failure.Message
}
