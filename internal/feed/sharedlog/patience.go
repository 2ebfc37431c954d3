package sharedlog

import "time"

// patience is how long a Stream waits for the log before it tells by itself what it was told. A log that is taken up again
// at once, as after a replica was stopped for a while, is waited for: it may hold something newer.
type patience struct {
	// alone is true while the Hub takes at once what is published. It ends with the first entry of our own that has come
	// back from the log, or when the log lacks nothing.
	alone bool
	// timer runs while something is unread and alone is false. expected is the place of the first entry of our own that
	// has not come back; 0 for none. Each one that comes back has the timer begin anew.
	timer    *time.Timer
	waiting  bool
	expected uint64
}

// expect begins to wait for what has been published.
func (s *Stream) expect() {
	switch {
	case s.alone || s.waiting:
		return
	case s.timer == nil:
		s.timer = time.AfterFunc(flushLimit, s.overdue)
	default:
		s.timer.Reset(flushLimit)
	}
	s.waiting = true
}

// appended notes that the log has taken entries, the last of them at a place.
func (s *Stream) appended(place uint64) {
	if s.expected == 0 {
		s.expected = place
	}
}

// settle notes what has come back from the log.
func (s *Stream) settle() {
	if s.attached == "" {
		return
	}
	if s.settled == s.accepted && s.reached(s.settledPlace) {
		s.unread, s.alone, s.expected = pending{}, false, 0
		s.stopTimer()
		s.upToDate()
		return
	}
	if s.expected > 0 && s.reached(s.expected) {
		s.expected, s.alone = 0, false
		if s.waiting {
			s.timer.Reset(flushLimit)
		}
	}
}

// overdue is called when nothing has come back for too long.
func (s *Stream) overdue() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting { // else it has ended in this moment
		s.tellAlone()
	}
}

// tellAlone has the Hub take what has not come back from the log. Should it come after all, it is known then.
func (s *Stream) tellAlone() {
	s.stopTimer()
	if s.unread.empty() {
		return
	}
	s.alone = true
	for _, c := range s.unread.all() {
		s.tell(c)
	}
	s.unread = pending{}
	s.upToDate()
	s.progress.Notify()
}

// upToDate has the Hub know what was said of all that was published, if it has taken all of that.
func (s *Stream) upToDate() {
	if !s.unread.empty() {
		return
	}
	s.Hub.SetResourceVersions(s.marked.Jobs, s.marked.Pods)
	s.progress.Notify()
	if s.complete {
		s.Hub.SetSynced()
	}
}

func (s *Stream) stopTimer() {
	s.waiting = false
	if s.timer != nil {
		s.timer.Stop()
	}
}

// stopWaiting ends what expect has begun.
func (s *Stream) stopWaiting() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopTimer()
}
