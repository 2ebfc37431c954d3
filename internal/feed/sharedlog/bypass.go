package sharedlog

import "time"

// bypass decides when a Stream publishes to its Hub past the log, because the log takes too long. After this replica has been
// stopped for a while, it waits for the log first: that may hold something newer.
type bypass struct {
	// bypassing is true while the Hub takes at once what is published. It ends when the first entry of this replica has
	// been read back from the log, or when the log lacks nothing.
	bypassing bool
	// timer runs while timing: something is unread and bypassing is false.
	timer  *time.Timer
	timing bool
	// expected is the offset of the first entry of this replica that has not been read back; 0 for none. The timer begins
	// again with each one that is.
	expected uint64
}

// startTimerLocked begins to wait for what has been published.
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

// appendedLocked notes that the log has taken entries, the last of them at an offset.
func (s *Stream) appendedLocked(offset uint64) {
	if s.expected == 0 {
		s.expected = offset
	}
}

// noteReadLocked notes what has been read back from the log.
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

// timerFired is called when nothing has been read back for too long.
func (s *Stream) timerFired() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timing { // else it has ended in this moment
		s.bypassLocked()
	}
}

// bypassLocked publishes to the Hub what has not been read back. If the log brings it later, the Hub knows it already.
func (s *Stream) bypassLocked() {
	s.stopTimerLocked()
	if s.unread.empty() {
		return
	}
	s.bypassing = true
	for _, c := range s.unread.all() {
		s.publishLocked(c)
	}
	s.unread = pending{}
	s.reportSyncedLocked()
	s.progress.Notify()
}

// reportSyncedLocked hands the resourceVersions and the sync to the Hub, if that has taken everything they cover.
func (s *Stream) reportSyncedLocked() {
	if !s.unread.empty() {
		return
	}
	s.Hub.SetResourceVersions(s.versions.Jobs, s.versions.Pods)
	s.progress.Notify()
	if s.synced {
		s.Hub.SetSynced()
	}
}

func (s *Stream) stopTimerLocked() {
	s.timing = false
	if s.timer != nil {
		s.timer.Stop()
	}
}

// stopTimer ends what startTimerLocked has begun.
func (s *Stream) stopTimer() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopTimerLocked()
}
