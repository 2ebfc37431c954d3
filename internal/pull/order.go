package pull

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"time"
)

// Supersedes reports whether j is a later state than k of the same pull. A final state supersedes all that are not, and the
// first final state that is published stays. Only an end that its Job tells supersedes that a pull is lost. A pull that was
// created later supersedes an earlier one of the same name.
func (j *State) Supersedes(k *State) bool {
	order := cmp.Or(cmp.Compare(j.CreatedAt.UnixMilli(), k.CreatedAt.UnixMilli()), cmp.Compare(j.finality(), k.finality()))
	if order == 0 && j.finality() == changing {
		order = j.Revision.Compare(k.Revision)
	}
	return order > 0
}

// What finality returns.
const (
	changing = iota
	lost
	ended
)

// finality tells how final the state is.
func (j *State) finality() int {
	switch {
	case !j.Phase.Final():
		return changing
	case j.Lost():
		return lost
	}
	return ended
}

// Lost reports whether the Job was gone before the pull had ended.
func (j *State) Lost() bool { return j.Failure != nil && j.Failure.Reason == Lost }

// Same reports whether two states of a pull are equal but for Revision, Position and UpdatedAt.
func (j *State) Same(k *State) bool {
	c := *k
	c.Revision, c.Position, c.UpdatedAt = j.Revision, j.Position, j.UpdatedAt
	return reflect.DeepEqual(j, &c)
}

// OrderKey returns a text of fixed length. Of two states of a pull, j supersedes k exactly when j's OrderKey is the greater
// one, byte by byte.
func (j *State) OrderKey() string {
	var r Revision
	if j.finality() == changing {
		r = j.Revision
	}
	return fmt.Sprintf("%012x%d%016x%016x%016x", min(max(0, j.CreatedAt.UnixMilli()), 1<<48-1), j.finality(), r.Cluster, r.Pods, r.Step)
}

// LostState returns the final state of a pull whose Job is gone, and that was neither seen to end nor canceled. It depends on
// the last state alone. Kubernetes does not keep when an object was deleted, so FinishedAt is zero and UpdatedAt stays as it
// was.
func LostState(last *State) *State {
	s := *last
	s.Phase, s.FinishedAt = Failed, time.Time{}
	s.Progress.BytesPerSecond, s.Progress.SecondsLeft = nil, nil
	s.Failure = &Failure{
		Reason:  Lost,
		Message: "Its Job is gone although it had not ended: somebody deleted it, or it was canceled while this server could not see the cluster.",
		LogTail: []string{},
	}
	s.Message = s.Failure.Message
	s.Revision.Step |= 1 // no other state has that
	s.Position = Position{}
	return &s
}

// SortActive orders pulls as activePulls lists them: newest first.
func SortActive(jobs []*State) {
	slices.SortFunc(jobs, func(a, b *State) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
}

// SortFailed orders pulls as failedPulls lists them: the one that failed last first.
func SortFailed(jobs []*State) {
	slices.SortFunc(jobs, func(a, b *State) int {
		return cmp.Or(b.FinishedAt.Compare(a.FinishedAt), cmp.Compare(a.ID, b.ID))
	})
}
