package feed

import (
	"time"

	"pullwatch/internal/pull"
)

// catchUpLimit is how long a reader that is ahead of this replica waits for it to catch up. Then it gets a snapshot. Within
// that time a replica has noticed that its watch or its leader is dead, and knows the cluster's present state again.
const catchUpLimit = 20 * time.Second

// Behind reports whether a reader at this position is ahead of this replica: it has seen more of the shared log, or something
// that another replica published by itself. Offsets grow from one log to the next, too.
func (h *Hub) Behind(at pull.Position) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.behindLocked(at)
}

func (h *Hub) behindLocked(at pull.Position) bool {
	if h.remembersLocked(at) {
		return false
	}
	// Before the shared log has been read, a position in it cannot be compared.
	unread := at.Log != "" && (h.logName != "" && at.Seq > h.logOffset || h.logName == "" && h.sharesLog)
	return unread || at.Jobs > h.versions.Jobs || at.Pods > h.versions.Pods
}

// remembersLocked reports whether this replica gave a reader all up to a position, and still knows what that was.
func (h *Hub) remembersLocked(at pull.Position) bool {
	return at.Replica == h.replica && at.Local >= h.horizonSeq
}

// beginLocked begins a subscription. A reader must not get an older state after a newer one, so one that is ahead of this
// replica waits.
func (s *Subscription) beginLocked() {
	if !s.hub.behindLocked(s.after) {
		s.resumeLocked()
		return
	}
	s.hub.waiting[s] = struct{}{}
	s.deadline = time.AfterFunc(catchUpLimit, s.giveUp)
}

// resumeLocked finds the reader's position again, if this replica remembers it.
func (s *Subscription) resumeLocked() {
	h := s.hub
	switch {
	case h.remembersLocked(s.after):
		s.seenBy = localOrder
	case s.after.Log != "" && s.after.Log == h.logName && s.after.Seq >= h.horizonOffset:
		s.seenBy = logOrder
	}
	s.skipSeenLocked()
}

// releaseCaughtUpLocked ends the wait of readers that are no longer ahead.
func (h *Hub) releaseCaughtUpLocked() {
	for s := range h.waiting {
		if !h.behindLocked(s.after) {
			delete(h.waiting, s)
			s.resumeLocked()
			s.releaseLocked()
		}
	}
}

// giveUp lets a reader have a snapshot, because this replica does not catch up with it.
func (s *Subscription) giveUp() {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if _, waits := s.hub.waiting[s]; waits {
		s.releaseLocked()
	}
}

func (s *Subscription) releaseLocked() {
	delete(s.hub.waiting, s)
	s.deadline.Stop()
	if s.ready != nil {
		s.ready()
	}
}
