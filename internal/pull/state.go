// Package pull is the domain: what a pull is, its phases, why it fails, and the order in which pulls are listed. A pull copies
// one container image into another registry. Other packages run pulls, store them and serve them.
//
// Its words: a State is what is known of one pull at one moment. A Revision orders the states of one pull, a Position those of
// all pulls. An attempt is one pod of a pull's Job.
package pull

import (
	"cmp"
	"strconv"
	"time"

	"pullwatch/internal/usererr"
)

// Phase is the stage that a pull has reached.
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

// WaitsForSlot is the message of a queued pull of which nothing else is known.
const WaitsForSlot = "Waits for a free slot."

// Final reports whether a pull in this phase never changes again.
func (p Phase) Final() bool { return p == Succeeded || p == Failed || p == Canceled }

// State is what a pull's Job, its pods and their logs say at one moment. It is immutable once it has been handed out: a change
// makes a new State.
type State struct {
	ID string
	// Namespace is that of the Kubernetes Job.
	Namespace   string
	Image       ImageReference
	Destination ImageReference
	// Platforms are the ones to copy, as ParsePlatforms returns them; nil for all.
	Platforms []string
	Phase     Phase
	Message   string
	// Held is true while the pull waits in the queue and is held there: it does not start until it is released.
	Held     bool
	Progress Progress
	// Attempts counts the attempts that were started.
	Attempts int
	// Confirmed tells whether the copier read the digest back at the destination. It is nil until the pull has succeeded, and
	// if that is not known.
	Confirmed *bool
	// Failure is set exactly when Phase is Failed.
	Failure *Failure
	// RetryOf is the id of the pull that a person retried with this one; nil for none.
	RetryOf *string
	// CreatedAt and UpdatedAt are always set. StartedAt is zero until the pull has left the queue. FinishedAt is zero until its
	// phase is final, and stays so if the pull is Lost. All are in UTC.
	CreatedAt, StartedAt, FinishedAt, UpdatedAt time.Time
	// Revision orders the states of this pull, Position those of all pulls. Position is zero until the state is published.
	Revision Revision
	Position Position
}

// Route is what a pull copies and where to. Of each Route only one pull runs or waits at a time.
type Route struct {
	// Image and Destination are full names. Platforms is what JoinPlatforms returns.
	Image, Destination, Platforms string
}

// Route returns the pull's route.
func (s *State) Route() Route {
	return Route{Image: s.Image.Name, Destination: s.Destination.Name, Platforms: JoinPlatforms(s.Platforms)}
}

// RevisionID returns the state's Position, or its Revision before it was published: the revision that clients see and
// ParsePosition reads.
func (s *State) RevisionID() string {
	if s.Position == (Position{}) {
		return s.Revision.String()
	}
	return s.Position.String()
}

// Log returns where the copier's pod logs are.
func (s *State) Log() LogSource {
	return LogSource{Namespace: s.Namespace, Job: s.ID, Container: ContainerName}
}

// LogSource names the pod logs of a Job's container.
type LogSource struct{ Namespace, Job, Container string }

// Progress tells how far the current attempt has come.
type Progress struct {
	// Percent is 0 to 100, and 100 only when the pull has succeeded.
	Percent   int
	BytesDone int64
	// BytesTotal is nil until the copier has read the image's manifests.
	BytesTotal *int64
	// BytesPerSecond and SecondsLeft are nil while no bytes move.
	BytesPerSecond *int64
	SecondsLeft    *int
}

// Revision says how new the objects are that a state was made from. It orders the states of a pull. States of the same Revision
// are equal. Jobs and pods have a watch each, and either may be ahead, so each has a number of its own. The Job's counts first.
// The zero Revision comes before all others.
type Revision struct {
	// Cluster is the resourceVersion of the Job.
	Cluster uint64
	// Pods is a resourceVersion at which the Job's pods were as the state says; 0 before there were any.
	Pods uint64
	// Step orders states that were made from the same objects: it grows with the lines read of the copier's pod log. It is odd
	// only in what LostState returns.
	Step uint64
}

// Compare returns -1, 0 or 1 as r is older than, equal to or newer than s.
func (r Revision) Compare(s Revision) int {
	return cmp.Or(cmp.Compare(r.Cluster, s.Cluster), cmp.Compare(r.Pods, s.Pods), cmp.Compare(r.Step, s.Step))
}

// String returns the revision in base 36.
func (r Revision) String() string {
	return strconv.FormatUint(r.Cluster, 36) + "-" + strconv.FormatUint(r.Pods, 36) + "-" + strconv.FormatUint(r.Step, 36)
}

// MaxStart is how many images one call may start.
const MaxStart = 100

// StartRequest is what one call asks to start.
type StartRequest struct {
	Images []string
	// Destination is nil for the default one, Platforms nil for all.
	Destination *string
	Platforms   []string
}

// StartResult is the outcome for one of the images of a StartRequest.
type StartResult struct {
	// Image is the reference as it was given.
	Image string
	// Pull is nil when no pull could be started. Then Error says why.
	Pull *State
	// Joined is set when Pull was running or waiting already.
	Joined bool
	Error  *usererr.Error
}
