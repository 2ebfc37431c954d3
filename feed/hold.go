package feed

import "time"

// holdLimit is how long a reader that knows more than this replica waits for it to catch up. Then it gets a snapshot.
const holdLimit = 5 * time.Second

// beginLocked begins a subscription. Nothing may come to a reader behind something newer that it has, so one that has seen
// more of the shared log than this replica waits. Places grow from one log to the next, too.
func (s *Subscription) beginLocked(behind bool) {
	if !behind || (s.after.Replica == s.hub.replica && s.after.Local >= s.hub.horizonSeq) {
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
	case s.after.Replica == h.replica && s.after.Local >= h.horizonSeq:
		s.seenBy = localOrder
	case s.after.Log != "" && s.after.Log == h.shared && s.after.Seq >= h.horizonPlace:
		s.seenBy = sharedOrder
	}
	s.pass()
}

// releaseReached ends the holds of readers of which this replica has caught up.
func (h *Hub) releaseReached() {
	for s := range h.held {
		if h.place >= s.after.Seq {
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
