package sharedlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"pullwatch/internal/feed"
	"pullwatch/internal/pull"
	"pullwatch/internal/redis/pack"
)

// batch is how many pulls go into one append.
const batch = 200

// session loads the log and reads its entries. It returns when something is wrong with the log, and says what. It calls works
// when entries have come.
func (s *Stream) session(ctx context.Context, works func()) error {
	c, err := s.open(ctx)
	if err != nil {
		return err
	}
	r, err := s.enter(ctx, c)
	for err == nil {
		var some bool
		if some, err = s.advance(ctx, r); some {
			works()
		}
	}
	return err
}

// reading is how far a session has read the log.
type reading struct {
	name   string
	offset uint64
	after  string // the ID after which the next call of journal.read begins
}

// enter takes what the log holds. What is published from then on goes to that log.
func (s *Stream) enter(ctx context.Context, c *contents) (*reading, error) {
	switch name, offset := s.hub.LogOffset(); {
	case name == c.Log:
		if err := s.checkIntact(ctx, name, tail{offset, s.lastID}); err != nil {
			return nil, err
		}
	case offset > c.Offset:
		// Offsets grow from one log to the next. Readers may be further than this log will ever be.
		if err := s.journal.destroy(ctx, c.Log); err != nil {
			return nil, fmt.Errorf("remove an earlier shared log: %w", err)
		}
		return nil, fmt.Errorf("%w: Redis came back with an earlier log", errGap)
	}
	s.lastID = c.lastID
	s.attach(c)
	// No ID ends with 0, so this one is lower than that of the next entry.
	return &reading{name: c.Log, offset: c.Offset, after: fmt.Sprintf("%d-0", c.Offset+1)}, nil
}

// advance takes the next entries of the log, and reports whether there were some.
func (s *Stream) advance(ctx context.Context, r *reading) (some bool, err error) {
	entries, err := s.journal.read(ctx, r.name, r.after)
	if err != nil {
		return false, s.replaceUnreadable(ctx, err)
	}
	if len(entries) == 0 {
		if err := s.checkIntact(ctx, r.name, tail{r.offset, s.lastID}); err != nil {
			return false, err
		}
	}
	for _, e := range entries {
		if e.previous != s.lastID || e.Offset <= r.offset {
			return true, errGap
		}
		s.apply(e)
		r.offset, s.lastID, r.after = e.Offset, e.id, e.id
	}
	s.updateLive()
	s.progress.Notify()
	return len(entries) > 0, nil
}

// open loads the log. If there is none, a leader that is synced makes one; other replicas wait for it.
func (s *Stream) open(ctx context.Context) (*contents, error) {
	after := "0-0"
	for {
		c, err := s.journal.load(ctx)
		if !errors.Is(err, errNoLog) {
			return c, s.replaceUnreadable(ctx, err)
		}
		if s.leads() && s.isSynced() {
			if err := s.create(ctx); err != nil {
				return nil, err
			}
			continue
		}
		entries, err := s.journal.read(ctx, "", after)
		if err != nil {
			return nil, err
		}
		if len(entries) > 0 {
			after = entries[len(entries)-1].id
		}
		s.mu.Lock()
		s.missLeaderLocked()
		s.mu.Unlock()
	}
}

// replaceUnreadable removes a log that cannot be read, so that the leader makes a new one. It returns err. It leaves a log that
// replicas of another version write: they would do the same with this one's.
func (s *Stream) replaceUnreadable(ctx context.Context, err error) error {
	var unreadable *unreadableError
	if !errors.As(err, &unreadable) || errors.Is(err, pull.ErrOtherVersion) || errors.Is(err, pack.ErrOtherForm) {
		return err
	}
	return errors.Join(err, s.journal.destroy(ctx, unreadable.name))
}

func (s *Stream) isSynced() bool {
	select {
	case <-s.hub.Synced():
		return true
	default:
		return false
	}
}

// create makes a new log of what this replica knows.
func (s *Stream) create(ctx context.Context) error {
	name, err := s.journal.begin(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.bypassLocked() // so that the Hub knows everything that the versions cover
	versions, pulls := s.versionsLocked(), s.hub.KnownPulls()
	s.mu.Unlock()
	var last tail
	var operations []operation
	for _, known := range pulls {
		if len(operations) >= batch {
			if last, err = s.journal.append(ctx, name, last, feed.ResourceVersions{}, false, operations...); err != nil {
				return err
			}
			operations = operations[:0]
		}
		operations = append(operations, operationOf(feed.Change{State: known.State}))
		if known.Retired {
			operations = append(operations, operationOf(feed.Change{Retired: known.State.ID}))
		}
	}
	_, err = s.journal.append(ctx, name, last, versions, true, operations...)
	if errors.Is(err, errNoLog) {
		return nil // another replica has made one
	}
	return err
}

// checkIntact checks that Redis still holds what this replica has read. If entries are lost, it removes the log and returns an
// error.
func (s *Stream) checkIntact(ctx context.Context, name string, read tail) error {
	now, held, err := s.journal.holds(ctx, read)
	switch {
	case err != nil:
		return err
	case now != name:
		return errNoLog
	case !held:
		if err := s.journal.destroy(ctx, name); err != nil {
			return fmt.Errorf("remove a shared log that has lost its end: %w", err)
		}
		return fmt.Errorf("%w: Redis came back without its end", errGap)
	}
	return nil
}

// attach gives the Hub what the log holds, and appends what the log lacks.
func (s *Stream) attach(c *contents) {
	s.mu.Lock()
	defer s.mu.Unlock()
	lacking := s.hub.Load(c.Contents)
	s.attached, s.tail, s.appendedOffset = c.Log, tail{c.Offset, c.lastID}, 0
	s.lastHeartbeat = time.Now().Add(-c.silence)
	s.attachments.Add(1)
	for _, change := range slices.Concat(lacking, s.unread.all()) {
		s.enqueueLocked(change)
	}
	if s.pending.empty() {
		s.appended = s.accepted
	}
	s.noteReadLocked()
	s.setLiveLocked(c.silence < s.maxSilence)
	if s.live {
		s.hub.SetSynced()
	}
}

// detach ends the use of the log. What is published then waits for the next one.
func (s *Stream) detach() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.detachLocked()
}

func (s *Stream) detachLocked() {
	if s.attached == "" {
		return
	}
	s.attached, s.pending, s.expected, s.lastLive = "", pending{}, 0, time.Now()
	s.setLiveLocked(false)
	s.progress.Notify()
}

func (s *Stream) setLiveLocked(live bool) {
	if s.live != live {
		s.live = live
		s.liveChanged.Notify()
	}
}

// updateLive notes what the log has returned, and whether a leader is heard through it.
func (s *Stream) updateLive() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noteReadLocked()
	s.setLiveLocked(s.attached != "" && time.Since(s.lastHeartbeat) < s.maxSilence)
	s.missLeaderLocked()
}

// missLeaderLocked logs once that no leader has been heard for long although Redis works, and once that one is heard again.
func (s *Stream) missLeaderLocked() {
	switch {
	case s.live:
		if s.missing {
			s.logger.Info("a leader is heard through Redis again")
		}
		s.lastLive, s.missing = time.Now(), false
	case !s.missing && time.Since(s.lastLive) > s.maxSilence:
		s.missing = true
		s.logger.Warn("no leader is heard through Redis; this replica watches the cluster for itself",
			"hint", "no leader sees the cluster, or replicas differ in --redis-url, --redis-prefix or --cluster-name")
	}
}

// apply takes one entry of the log.
func (s *Stream) apply(e logEntry) {
	s.mu.Lock()
	s.setTailLocked(tail{e.Offset, e.id}) // first: versions that are appended from now on may cover what the Hub takes
	s.mu.Unlock()
	s.hub.Follow(e.Entry)
	s.lag.Store(int64(time.Since(e.time)))
	switch e.kind {
	case entryHeartbeat:
		s.mu.Lock()
		s.lastHeartbeat = time.Now()
		if e.unproven >= 0 {
			s.proven = s.lastHeartbeat.Add(-e.unproven)
		}
		s.mu.Unlock()
		s.hub.SetSynced()
	case entryResign:
		select {
		case s.vacant <- struct{}{}:
		default:
		}
	}
}

// setTailLocked notes an entry that the log holds. If the log loses it, appending fails.
func (s *Stream) setTailLocked(t tail) {
	if t.offset > s.tail.offset {
		s.tail = t
	}
}
