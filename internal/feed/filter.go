package feed

import (
	"slices"

	"pullwatch/internal/pull"
)

// filter says which states of its pulls a Subscription gets.
type filter struct {
	// phases are those of the states; nil for all. The first state of a pull behind them is sent, too.
	phases []pull.Phase
	// skipEnded leaves out the pulls that had ended when a new reader came.
	skipEnded bool
	// settled is a seq: of each pull that left the phases at or before it, the reader knows that. It costs less memory than the
	// set of pulls that the reader knows in these phases. A reader that is behind may get a state more than it needs.
	settled uint64
	// returning means that the reader may know pulls in these phases from before, and has not caught up since.
	returning bool
}

// Filter leaves out states in other phases than these, unless phases is nil. When a pull leaves them, its next state is sent: the
// reader has to know. Without history, pulls that have ended already are left out, unless the reader was here before. Filter is
// called before the first Next.
func (s *Subscription) Filter(phases []pull.Phase, history bool) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	phases = slices.Compact(slices.Sorted(slices.Values(phases))) // a client may repeat them any number of times
	returning := s.after != (pull.Position{})
	s.filter = filter{phases: phases, skipEnded: !history && !returning, settled: s.start, returning: returning}
}

// wantsLocked reports whether the reader gets the pull's state.
func (s *Subscription) wantsLocked(k *known) bool {
	if s.filter.skipEnded && k.seq <= s.start && k.state.Phase.Final() {
		return false
	}
	phases := s.filter.phases
	if phases == nil || slices.Contains(phases, k.state.Phase) {
		return true
	}
	left := k.leftLocked(phases)
	if s.filter.returning {
		// The pull may have left the phases on another replica, or before this one knew it: but only phases that are not final.
		return left > 0 || slices.ContainsFunc(phases, func(p pull.Phase) bool { return !p.Final() })
	}
	return left > s.filter.settled
}

// settleLocked notes that the reader has everything up to now.
func (s *Subscription) settleLocked() {
	s.filter.settled, s.filter.returning = s.hub.seq, false
}

// exit is when a pull last left a phase.
type exit struct {
	phase pull.Phase
	seq   uint64 // of the first state behind it
}

// noteExitLocked notes that the pull leaves a phase with the state of this seq.
func (k *known) noteExitLocked(phase pull.Phase, seq uint64) {
	for i := range k.exits {
		if k.exits[i].phase == phase {
			k.exits[i].seq = seq
			return
		}
	}
	k.exits = append(k.exits, exit{phase, seq})
}

// leftLocked returns the seq with which the pull, which is in none of these phases, has last left them; 0 when it never was in
// them.
func (k *known) leftLocked(phases []pull.Phase) (seq uint64) {
	for _, e := range k.exits {
		if slices.Contains(phases, e.phase) {
			seq = max(seq, e.seq)
		}
	}
	return seq
}
