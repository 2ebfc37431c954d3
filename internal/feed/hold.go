package feed

import (
	"time"

	"pullwatch/internal/pull"
)

// holdLimit is how long a reader that knows more than this replica waits for it to catch up. Then it gets a snapshot. A
// replica that does not catch up for that long has found that its watch or its leader is dead, and knows the present again.
const holdLimit = 20 * time.Second

// Behind reports whether a reader that has come to a position has seen more than this replica: more of the shared log, or
// something that another replica told by itself. Places grow from one log to the next, too.
func (h *Hub) Behind(at pull.Position) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.behindLocked(at)
}

func (h *Hub) behindLocked(at pull.Position) bool {
	if h.remembersLocked(at) {
		return false
	}
	unread := at.Log != "" && h.shared != "" && at.Seq > h.place
	return unread || at.Jobs > h.marked.Jobs || at.Pods > h.marked.Pods
}

// remembersLocked reports whether this replica has told a reader all up to a position by itself, and knows what that was.
func (h *Hub) remembersLocked(at pull.Position) bool {
	return at.Replica == h.replica && at.Local >= h.horizonSeq
}

// beginLocked begins a subscription. Nothing may come to a reader behind something newer that it has, so one that has seen
// more than this replica waits.
func (s *Subscription) beginLocked() {
	if !s.hub.behindLocked(s.after) {
		s.goOnLocked()
		return
	}
	s.hub.held[s] = struct{}{}
	s.overdue = time.AfterFunc(holdLimit, s.giveUp)
}

// goOnLocked finds the reader's place again, if this replica remembers it.
func (s *Subscription) goOnLocked() {
	h := s.hub
	switch {
	case h.remembersLocked(s.after):
		s.seenBy = localOrder
	case s.after.Log != "" && s.after.Log == h.shared && s.after.Seq >= h.horizonPlace:
		s.seenBy = sharedOrder
	}
	s.pass()
}

// releaseReachedLocked ends the holds of readers of which this replica has caught up.
func (h *Hub) releaseReachedLocked() {
	for s := range h.held {
		if !h.behindLocked(s.after) {
			delete(h.held, s)
			s.goOnLocked()
			s.releaseLocked()
		}
	}
}

// giveUp lets a reader have a snapshot, because this replica does not catch up.
func (s *Subscription) giveUp() {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if _, held := s.hub.held[s]; held {
		s.releaseLocked()
	}
}

func (s *Subscription) releaseLocked() {
	delete(s.hub.held, s)
	s.overdue.Stop()
	if s.ready != nil {
		s.ready()
	}
}
