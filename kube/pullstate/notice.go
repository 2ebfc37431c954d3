package pullstate

import (
	"encoding/json"
	"time"

	batchv1 "k8s.io/api/batch/v1"
)

// Notice is what the leader writes on a queued Job about the whole queue: that no pull starts, or why only few do.
type Notice struct {
	// Message says that in sentences for people. It is empty when there is nothing to say any more.
	Message string `json:"message,omitempty"`
	// Time is when the leader wrote it.
	Time time.Time `json:"time"`
}

// Annotation returns the value of AnnotationNotice.
func (n Notice) Annotation() (string, error) {
	text, err := json.Marshal(n)
	return string(text), err
}

// ReadNotice returns the Notice on a Job, the zero Notice when there is none that can be read.
func ReadNotice(job *batchv1.Job) Notice {
	var n Notice
	if text := job.Annotations[AnnotationNotice]; text == "" || json.Unmarshal([]byte(text), &n) != nil {
		return Notice{}
	}
	return n
}
