// Package pull is the domain: what a pull is, the phases it goes through, why it fails, and the order in which pulls
// are listed. A pull copies one container image into another registry. Where pulls run, how they are stored and how
// they are served is other packages' business.
package pull

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"pullwatch/usererr"
)

// Phase is where a pull stands.
type Phase string

// The phases of a pull; Succeeded, Failed and Canceled are final.
const (
	Queued    Phase = "QUEUED"
	Pending   Phase = "PENDING"
	Pulling   Phase = "PULLING"
	Retrying  Phase = "RETRYING"
	Succeeded Phase = "SUCCEEDED"
	Failed    Phase = "FAILED"
	Canceled  Phase = "CANCELED"
)

// Final reports whether a pull in this phase will never change again.
func (p Phase) Final() bool { return p == Succeeded || p == Failed || p == Canceled }

// Job is the state of a pull at one moment. A Job that has been handed out is never changed: a new state is a new Job.
type Job struct {
	ID          string
	Image       ImageReference
	Destination ImageReference
	Phase       Phase
	Message     string
	Progress    Progress
	// Attempts counts how often copying was started.
	Attempts int
	// Failure is set exactly when Phase is Failed.
	Failure *Failure
	RetryOf *string
	// CreatedAt and UpdatedAt are always set; StartedAt is zero until the pull has left the queue, FinishedAt until
	// its phase is final. All are in UTC.
	CreatedAt, StartedAt, FinishedAt, UpdatedAt time.Time
	Revision                                    Revision
}

// RevisionID returns the job's Revision as clients see it.
func (j *Job) RevisionID() string { return j.Revision.String() }

// Progress tells how far the current attempt has come.
type Progress struct {
	// Percent is 0 to 100, and 100 only when the pull has succeeded.
	Percent   int
	BytesDone int64
	// BytesTotal is nil until the copier has read the image's manifests.
	BytesTotal *int64
	// BytesPerSecond and SecondsLeft are nil while nothing moves.
	BytesPerSecond *int64
	SecondsLeft    *int
}

// Revision orders the states of pulls. The zero Revision stands before all others.
type Revision struct {
	// Cluster is the highest resourceVersion among the Kubernetes objects that the state was made from.
	Cluster uint64
	// Step orders states that were made from the same objects and later words of the copier.
	Step uint64
}

// Compare returns -1, 0 or 1 as r stands before, at or behind s.
func (r Revision) Compare(s Revision) int {
	return cmp.Or(cmp.Compare(r.Cluster, s.Cluster), cmp.Compare(r.Step, s.Step))
}

// String returns the revision as clients see it.
func (r Revision) String() string {
	return strconv.FormatUint(r.Cluster, 36) + "-" + strconv.FormatUint(r.Step, 36)
}

// SortActive orders pulls as activePulls lists them: newest first.
func SortActive(jobs []*Job) {
	slices.SortFunc(jobs, func(a, b *Job) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
}

// SortFailed orders pulls as failedPulls lists them: the one that failed last first.
func SortFailed(jobs []*Job) {
	slices.SortFunc(jobs, func(a, b *Job) int {
		return cmp.Or(b.FinishedAt.Compare(a.FinishedAt), cmp.Compare(a.ID, b.ID))
	})
}

// MaxStart is how many images one call may start.
const MaxStart = 100

// StartResult is the outcome for one of the images that a call was to start.
type StartResult struct {
	// Image is the reference as it was given.
	Image string
	// Pull is nil when the image could not be started, and Error says why.
	Pull   *Job
	Joined bool
	Error  *usererr.Error
}
