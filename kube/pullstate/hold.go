package pullstate

import (
	"encoding/json"
	"time"

	batchv1 "k8s.io/api/batch/v1"
)

// heldMessage is what a client reads of a pull that is held.
const heldMessage = "Held. releasePull lets it start."

// Hold says whether a pull in the queue is held there. Whoever holds or releases the pull writes it on the Job. It has no effect
// on a pull that has left the queue.
type Hold struct {
	Held bool `json:"held"`
	// Time is when the pull was held or released.
	Time time.Time `json:"time"`
}

// Annotation returns the value of AnnotationHold.
func (h Hold) Annotation() (string, error) {
	text, err := json.Marshal(h)
	return string(text), err
}

// readHold returns the Hold on a Job, nil when there is none that can be read.
func readHold(job *batchv1.Job) *Hold {
	text := job.Annotations[AnnotationHold]
	if text == "" {
		return nil
	}
	var h Hold
	if json.Unmarshal([]byte(text), &h) != nil {
		return nil
	}
	return &h
}

// Held reports whether the pull of a Job is not to leave the queue.
func Held(job *batchv1.Job) bool {
	h := readHold(job)
	return h != nil && h.Held
}
