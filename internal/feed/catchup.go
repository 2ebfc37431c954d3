package feed

import (
	"time"

	"pullwatch/internal/pull"
)

// catchUpLimit is how long a reader that is ahead of this replica waits for it to catch up. Then it gets a snapshot. Within that
// time a replica notices that its watch or its leader is dead, and learns the cluster's present state again.
const catchUpLimit = 20 * time.Second

// Behind reports whether a reader at this position is ahead of this replica: it has seen more of the shared log, or what
// another replica published by itself. Offsets also grow from one shared log to the next.
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

// remembersLocked reports whether this replica gave out the position, and has since forgotten no pull that changed after it.
func (h *Hub) remembersLocked(at pull.Position) bool {
	return at.Replica == h.replica && at.Local >= h.horizonSeq
}

// beginLocked begins a subscription. A reader that is ahead of this replica waits, so that it gets no older state after a newer
// one.
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

// giveUp ends the reader's wait: this replica has not caught up in time, and the reader gets a snapshot.
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
