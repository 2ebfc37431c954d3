package sharedlog

import (
	"time"

	"pullwatch/internal/feed"
)

// A Stream publishes past the log, to its Hub only, when the log takes too long. A replica that was stopped for a while first
// waits for the log: that may hold something newer.

// startTimerLocked begins to wait until the log returns what was published.
func (s *Stream) startTimerLocked() {
	switch {
	case s.bypassing || s.timing:
		return
	case s.timer == nil:
		s.timer = time.AfterFunc(flushLimit, s.timerFired)
	default:
		s.timer.Reset(flushLimit)
	}
	s.timing = true
}

// noteAppendedLocked notes that the log has taken entries. The last of them has the offset.
func (s *Stream) noteAppendedLocked(offset uint64) {
	if s.expected == 0 {
		s.expected = offset
	}
}

// noteReadLocked notes what the log has returned.
func (s *Stream) noteReadLocked() {
	if s.attached == "" {
		return
	}
	if s.appended == s.accepted && s.reached(s.appendedOffset) {
		s.unread, s.bypassing, s.expected = pending{}, false, 0
		s.stopTimerLocked()
		s.reportSyncedLocked()
		return
	}
	if s.expected > 0 && s.reached(s.expected) {
		s.expected, s.bypassing = 0, false
		if s.timing {
			s.timer.Reset(flushLimit)
		}
	}
}

// timerFired is called when the log has returned nothing for too long.
func (s *Stream) timerFired() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timing { // else the timer was stopped as it fired
		s.bypassLocked()
	}
}

// bypassLocked publishes to the Hub what the log has not returned. If the log returns it later, the Hub knows it already.
func (s *Stream) bypassLocked() {
	s.stopTimerLocked()
	if s.unread.empty() {
		return
	}
	s.bypassing = true
	for _, c := range s.unread.all() {
		s.publishToHubLocked(c)
	}
	s.unread = pending{}
	s.reportSyncedLocked()
	s.progress.Notify()
}

// publishToHubLocked publishes a change past the log.
func (s *Stream) publishToHubLocked(c feed.Change) {
	if c.State != nil {
		s.hub.Publish(c.State)
	} else {
		s.hub.Retire(c.Retired)
	}
}

// reportSyncedLocked hands the resourceVersions and the sync to the Hub, if the Hub has everything that they cover.
func (s *Stream) reportSyncedLocked() {
	if !s.unread.empty() {
		return
	}
	s.hub.SetResourceVersions(s.versions.Jobs, s.versions.Pods)
	s.progress.Notify()
	if s.synced {
		s.hub.SetSynced()
	}
}

func (s *Stream) stopTimerLocked() {
	s.timing = false
	if s.timer != nil {
		s.timer.Stop()
	}
}

// stopTimer ends the wait that startTimerLocked has begun.
func (s *Stream) stopTimer() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopTimerLocked()
}
