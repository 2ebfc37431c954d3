package pull

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"time"
)

// Supersedes reports whether s is a later state of a pull than other. A final state supersedes every other. The first
// final state stays, unless it is that the pull is lost: how its Job ended supersedes that. A pull that was created later
// supersedes an earlier one of the same name.
func (s *State) Supersedes(other *State) bool {
	order := cmp.Or(cmp.Compare(s.CreatedAt.UnixMilli(), other.CreatedAt.UnixMilli()), cmp.Compare(s.finality(), other.finality()))
	if order == 0 && s.finality() == changing {
		order = s.Revision.Compare(other.Revision)
	}
	return order > 0
}

// What finality returns.
const (
	changing = iota
	lost
	ended
)

// finality returns how final the state is.
func (s *State) finality() int {
	switch {
	case !s.Phase.Final():
		return changing
	case s.Lost():
		return lost
	}
	return ended
}

// Lost reports whether the Job was gone before the pull had ended.
func (s *State) Lost() bool { return s.Failure != nil && s.Failure.Reason == Lost }

// Same reports whether two states of a pull are equal but for Revision, Position and UpdatedAt.
func (s *State) Same(other *State) bool {
	c := *other
	c.Revision, c.Position, c.UpdatedAt = s.Revision, s.Position, s.UpdatedAt
	return reflect.DeepEqual(s, &c)
}

// OrderKey returns a text of fixed length. Of two states of a pull, one supersedes the other exactly when its OrderKey is the
// greater one, byte by byte.
func (s *State) OrderKey() string {
	var r Revision
	if s.finality() == changing {
		r = s.Revision
	}
	return fmt.Sprintf("%012x%d%016x%016x%016x", min(max(0, s.CreatedAt.UnixMilli()), 1<<48-1), s.finality(), r.Cluster, r.Pods, r.Step)
}

// LostState returns the final state of a pull whose Job is gone although nobody saw it end or canceled it. It depends on the last
// state alone. Kubernetes does not keep when an object was deleted, so FinishedAt is zero and UpdatedAt stays as it was.
func LostState(last *State) *State {
	s := *last
	s.Phase, s.Held, s.FinishedAt = Failed, false, time.Time{}
	s.Progress.BytesPerSecond, s.Progress.SecondsLeft = nil, nil
	s.Failure = &Failure{
		Reason:  Lost,
		Message: "Its Job is gone although it had not ended: somebody deleted it or took its labels away, or it was canceled while this server could not see the cluster.",
		LogTail: []string{},
	}
	s.Message = s.Failure.Message
	s.Revision.Step |= 1 // no other state has that
	s.Position = Position{}
	return &s
}

// SortActive orders pulls as activePulls lists them: newest first.
func SortActive(states []*State) {
	slices.SortFunc(states, func(a, b *State) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
}

// SortFailed orders pulls as failedPulls lists them: the one that failed last first.
func SortFailed(states []*State) {
	slices.SortFunc(states, func(a, b *State) int {
		return cmp.Or(b.FinishedAt.Compare(a.FinishedAt), cmp.Compare(a.ID, b.ID))
	})
}
