package pullstate

import (
	"cmp"
	"encoding/json"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/types"

	"pullwatch/internal/pull"
)

// Record is what the leader writes on a Job about the pull's last attempt. An attempt's pod goes before its Job does: at the
// deadline, with its node, or by hand.
type Record struct {
	Pod types.UID `json:"pod"`
	// PodCreated is when the pod was created, as the API server says. It is zero in records of earlier versions.
	PodCreated time.Time `json:"podCreated,omitzero"`
	// Attempts is the number of attempts up to this one.
	Attempts int `json:"attempts"`
	// Ran is true once the copier was started. Before that, Outcome says what it waits for.
	Ran bool `json:"ran"`
	// Ended is true once the attempt has ended. Before that, Outcome says how it counts as ended if its pod vanishes.
	Ended   bool         `json:"ended"`
	Outcome pull.Outcome `json:"outcome"`
	// Last is the copier's last report of how far it was.
	Last    pull.Report `json:"last,omitzero"`
	LogTail []string    `json:"logTail,omitempty"`
	// Before is the digest that the image had in the attempt before this one, if it is known.
	Before string `json:"before,omitempty"`
	// Held is the digest that the attempts before this one found at the destination's tag, as in pull.Outcome.
	Held string `json:"held,omitempty"`
	// Next says what keeps the pod of the next attempt, or of the first one, from being created; nil while nothing does.
	Next *pull.Outcome `json:"next,omitempty"`
	// Yield is set once the pull has let others go first, because it could not start.
	Yield *Yield `json:"yield,omitempty"`
	// Settled is true once the leader has ended a Job whose image is copied, because of Others: the containers besides the copier
	// that run or have failed, for people. Others is empty when the pod is gone.
	Settled bool      `json:"settled,omitempty"`
	Others  string    `json:"others,omitempty"`
	Time    time.Time `json:"time"`

	// final is true when the copier said that no attempt will ever succeed.
	final bool
}

// next returns Next, nil when there is no record.
func (r *Record) next() *pull.Outcome {
	if r == nil {
		return nil
	}
	return r.Next
}

// obstacle returns the reason of what kept the pull from going on when its deadline came, if more time would not have helped; empty
// otherwise.
func (r *Record) obstacle() pull.FailureReason {
	switch {
	case r == nil:
	case r.Next != nil:
		return r.Next.Reason
	case !r.Ran:
		return r.Outcome.Reason
	case r.Ended:
		switch r.Outcome.Reason {
		case pull.DiskFull, pull.OutOfMemory, pull.Evicted:
			return r.Outcome.Reason
		}
	}
	return ""
}

// image returns the digest that the image had in the attempt, empty if that is not known.
func (r *Record) image() string { return cmp.Or(r.Outcome.Image, r.Last.Image) }

// held returns the digest of another image that the attempts found at the destination's tag. The newest attempt goes first.
func (r *Record) held() string { return cmp.Or(r.Outcome.Held, r.Last.Held, r.Held) }

// ReadRecord returns the record on the Job, nil when there is none that can be read.
func ReadRecord(job *batchv1.Job) *Record {
	text := job.Annotations[AnnotationRecord]
	if text == "" {
		return nil
	}
	var r Record
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return nil
	}
	r.Attempts = max(0, r.Attempts) // anybody who may change Jobs may have written it
	return &r
}

// follows reports whether the record tells of an attempt that came after a.
func (r *Record) follows(a attempt) bool {
	return cmp.Or(a.pod.CreationTimestamp.Compare(r.PodCreated), cmp.Compare(a.pod.UID, r.Pod)) < 0
}

// covers reports whether what was seen of an attempt is in the record.
func (r *Record) covers(seen *Record) bool {
	return r != nil && r.Pod == seen.Pod && r.Ran == seen.Ran && r.Ended == seen.Ended &&
		r.Outcome.Reason == seen.Outcome.Reason && r.Outcome.Digest == seen.Outcome.Digest
}
