package sharedlog

import (
	"context"
	"time"

	"pullwatch/internal/feed"
)

// write appends what is published, and a leader's heartbeats, until ctx is done.
func (s *Stream) write(ctx context.Context) {
	heartbeat := time.NewTicker(heartbeatInterval)
	defer heartbeat.Stop()
	for {
		due := false
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-heartbeat.C:
			due = s.leads() && s.watches()
		}
		for s.writeBatch(ctx, due) {
		}
	}
}

// unproven returns how long ago this replica's watch was last known to be live.
func (s *Stream) unproven() time.Duration { return max(0, time.Since(s.provenHere())) }

// writeBatch appends a batch of pending changes, and a heartbeat if one is due. It reports whether more are pending.
func (s *Stream) writeBatch(ctx context.Context, heartbeat bool) (more bool) {
	s.mu.Lock()
	name, last, versions, accepted, synced := s.attached, s.tail, s.versionsLocked(), s.accepted, s.synced
	if name == "" {
		s.mu.Unlock()
		return false
	}
	var operations []operation
	for _, c := range s.pending.take(batch) {
		operations = append(operations, operationOf(c))
	}
	more = len(s.pending.order) > 0
	s.mu.Unlock()
	if more || !s.leads() {
		versions = feed.ResourceVersions{} // they cover only what the leader has seen, once all of that has been appended
	}
	if heartbeat && (synced || versions.Jobs > 0) {
		operations = append(operations, operation{kind: entryHeartbeat, unproven: s.unproven()})
	}
	var err error
	if len(operations) > 0 {
		last, err = s.journal.append(ctx, name, last, versions, false, operations...)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		// At once: versions that are written later must not cover the changes that were not appended.
		if s.attached == name {
			s.detachLocked()
		}
		s.interrupt(err)
		return false
	}
	if len(operations) > 0 {
		s.setTailLocked(last)
		s.noteAppendedLocked(last.offset)
	}
	if !more {
		s.appended, s.appendedOffset = accepted, max(s.appendedOffset, last.offset)
		s.noteReadLocked()
	}
	s.progress.Notify()
	return more
}

// Resign tells the other replicas, through the log, that this one leads no longer.
func (s *Stream) Resign(ctx context.Context) {
	s.mu.Lock()
	name, last := s.attached, s.tail
	s.mu.Unlock()
	if name == "" {
		return
	}
	if _, err := s.journal.append(ctx, name, last, feed.ResourceVersions{}, false, operation{kind: entryResign}); err != nil {
		s.logger.Debug("the other replicas could not be told that this one leads no longer", "error", err)
	}
}
