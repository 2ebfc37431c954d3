package sharedlog

import (
	"context"

	"pullwatch/internal/feed"
	"pullwatch/internal/pull"
)

// Publish takes a pull's new state and appends it to the log. The Hub gets it when the log returns it, or at once while the
// log is too slow or away.
func (s *Stream) Publish(state *pull.State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.hub.Latest(state.ID); known != nil && state.Same(known) && !s.unread.holds(state.ID) {
		return // a new leader sees again what was published before
	}
	s.acceptLocked(feed.Change{State: state})
}

// Retire takes the id of a pull whose Job is gone, as Publish takes a state.
func (s *Stream) Retire(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acceptLocked(feed.Change{Retired: id})
}

// BeginWatch is feed.Hub's.
func (s *Stream) BeginWatch(jobs, pods uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.versions = feed.ResourceVersions{} // those of the watch before may cover what this one has still to find
	if s.attached == "" {
		s.bypassLocked() // so that the watch notices which of the pulls that were published before it are gone
	}
	s.hub.BeginWatch(jobs, pods)
}

// SetResourceVersions says that every change up to these resourceVersions, of Jobs and of pods, has been published.
func (s *Stream) SetResourceVersions(jobs, pods uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.versions = feed.ResourceVersions{Jobs: jobs, Pods: pods}
	s.reportSyncedLocked()
}

// versionsLocked returns the resourceVersions up to which the log has every change, once it has what is pending; none while
// there is a Gap.
func (s *Stream) versionsLocked() feed.ResourceVersions {
	if s.hub.Gap() {
		return feed.ResourceVersions{}
	}
	return s.versions
}

// SetSynced says that every pull that exists has been published. The Hub is synced once it has all of them.
func (s *Stream) SetSynced() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.synced = true
	if s.attached == "" {
		s.bypassLocked()
		s.interrupt(errNoLog) // a leader may now make one
	}
	s.reportSyncedLocked()
}

func (s *Stream) acceptLocked(c feed.Change) {
	if s.bypassing {
		s.publishToHubLocked(c)
	} else {
		s.unread.add(c)
		s.startTimerLocked()
	}
	if s.attached == "" {
		s.accepted++ // attach appends it
	} else {
		s.enqueueLocked(c)
	}
}

// enqueueLocked has the writing goroutine append a change.
func (s *Stream) enqueueLocked(c feed.Change) {
	s.pending.add(c)
	s.accepted++
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Flush waits until the log has returned to the Hub what was published before, at most half a second. Then it publishes the
// rest past the log.
func (s *Stream) Flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, flushLimit)
	defer cancel()
	progress, unsubscribe := s.progress.Subscribe()
	defer unsubscribe()
	s.mu.Lock()
	target := s.accepted
	s.mu.Unlock()
	for {
		s.mu.Lock()
		done := s.unread.empty() || (s.appended >= target && s.reached(s.appendedOffset))
		s.mu.Unlock()
		if done {
			return
		}
		select {
		case <-progress:
		case <-ctx.Done():
			s.mu.Lock()
			defer s.mu.Unlock()
			s.bypassLocked()
			return
		}
	}
}

// Await waits until a reader at this position is not ahead of this replica, at most half a second.
func (s *Stream) Await(ctx context.Context, at pull.Position) {
	ctx, cancel := context.WithTimeout(ctx, flushLimit)
	defer cancel()
	progress, unsubscribe := s.progress.Subscribe()
	defer unsubscribe()
	for {
		if !s.hub.Behind(at) {
			return
		}
		select {
		case <-progress:
		case <-ctx.Done():
			return
		}
	}
}
