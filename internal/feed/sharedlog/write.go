package sharedlog

import (
	"context"
	"time"

	"pullwatch/internal/feed"
)

// write appends what is published until ctx is done.
func (s *Stream) write(ctx context.Context) {
	beat := time.NewTicker(beatTime)
	defer beat.Stop()
	for {
		due := false
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-beat.C:
			due = s.leads() && s.watches()
		}
		for s.writeBatch(ctx, due) {
		}
	}
}

// unproven returns how long ago this replica's watch was last known to live.
func (s *Stream) unproven() time.Duration { return max(0, time.Since(s.provenHere())) }

// writeBatch appends what waits, with a sign of life if one is due. It reports whether more waits.
func (s *Stream) writeBatch(ctx context.Context, beat bool) (more bool) {
	s.mu.Lock()
	log, marked, accepted, complete := s.attached, s.marked, s.accepted, s.complete
	if log == "" {
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
		marked = feed.ResourceVersions{} // they are true only of what the leader has seen, once all of it has been appended
	}
	if beat && (complete || marked.Jobs > 0) {
		operations = append(operations, operation{kind: entryBeat, unproven: s.unproven()})
	}
	var place uint64
	var err error
	if len(operations) > 0 {
		place, err = s.journal.append(ctx, log, marked, false, operations...)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		// At once, so that no mark is written that covers what has just not been.
		if s.attached == log {
			s.detachLocked()
		}
		s.interrupt(err)
		return false
	}
	if len(operations) > 0 {
		s.appended(place)
	}
	if !more {
		s.settled, s.settledPlace = accepted, max(s.settledPlace, place)
		s.settle()
	}
	s.progress.Notify()
	return more
}
