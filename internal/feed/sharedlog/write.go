package sharedlog

import (
	"context"
	"time"

	"pullwatch/internal/feed"
)

// write appends what is published, and heartbeats, until ctx is done.
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

// writeBatch appends pending changes, with a heartbeat if one is due. It reports whether more are pending.
func (s *Stream) writeBatch(ctx context.Context, heartbeat bool) (more bool) {
	s.mu.Lock()
	name, last, versions, accepted, synced := s.attached, s.tail, s.versions, s.accepted, s.synced
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
		// At once, so that no versions are written that cover the changes which have just failed.
		if s.attached == name {
			s.detachLocked()
		}
		s.interrupt(err)
		return false
	}
	if len(operations) > 0 {
		s.setTailLocked(last)
		s.appendedLocked(last.offset)
	}
	if !more {
		s.appended, s.appendedOffset = accepted, max(s.appendedOffset, last.offset)
		s.noteReadLocked()
	}
	s.progress.Notify()
	return more
}
