package sharedlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"pullwatch/internal/feed"
)

// batch is how many pulls one append takes.
const batch = 200

// session reads the log from its beginning until something is wrong with it, and says what. It calls works once entries
// have come.
func (s *Stream) session(ctx context.Context, works func()) error {
	c, err := s.open(ctx)
	if err != nil {
		return err
	}
	at, err := s.enter(ctx, c)
	for err == nil {
		var some bool
		if some, err = s.advance(ctx, at); some {
			works()
		}
	}
	return err
}

// cursor is how far a session has read a log.
type cursor struct {
	log    string
	place  uint64
	behind string // the stream's name for that place
}

// enter takes what the log holds, and turns what is published to it.
func (s *Stream) enter(ctx context.Context, c *contents) (*cursor, error) {
	switch log, place := s.LogOffset(); {
	case log == c.Log:
		if err := s.check(ctx, log, place); err != nil {
			return nil, err
		}
	case place > c.Offset:
		// Places grow from one log to the next, and readers may have come further than this one ever will.
		if err := s.journal.destroy(ctx, c.Log); err != nil {
			return nil, fmt.Errorf("remove a shared log of before: %w", err)
		}
		return nil, fmt.Errorf("%w: Redis came back with a log of before", errGap)
	}
	s.entry = c.entry
	s.attach(c)
	// No entry ends with 0, so this name stands before whatever has been appended since.
	return &cursor{log: c.Log, place: c.Offset, behind: fmt.Sprintf("%d-0", c.Offset+1)}, nil
}

// advance takes the next entries of the log, and reports whether there were some.
func (s *Stream) advance(ctx context.Context, at *cursor) (some bool, err error) {
	records, err := s.journal.read(ctx, at.log, at.behind)
	if err != nil {
		return false, s.replaceUnreadable(ctx, err)
	}
	if len(records) == 0 {
		if err := s.check(ctx, at.log, at.place); err != nil {
			return false, err
		}
	}
	for _, r := range records {
		if r.Offset != at.place+1 || r.after != s.entry {
			return true, errGap
		}
		s.apply(r)
		at.place, s.entry, at.behind = r.Offset, r.entry, r.entry
	}
	s.judge()
	s.progress.Notify()
	return len(records) > 0, nil
}

// open loads the log. Where there is none, a leader that knows all pulls makes one and others wait for it.
func (s *Stream) open(ctx context.Context) (*contents, error) {
	behind := "0-0"
	for {
		c, err := s.journal.load(ctx)
		if !errors.Is(err, errNoLog) {
			return c, s.replaceUnreadable(ctx, err)
		}
		if s.leads() && s.isFilled() {
			if err := s.establish(ctx); err != nil {
				return nil, err
			}
			continue
		}
		records, err := s.journal.read(ctx, "", behind)
		if err != nil {
			return nil, err
		}
		if len(records) > 0 {
			behind = records[len(records)-1].entry
		}
		s.mu.Lock()
		s.missLeader()
		s.mu.Unlock()
	}
}

// replaceUnreadable removes a log that cannot be read, so that the leader begins a new one. It returns err.
func (s *Stream) replaceUnreadable(ctx context.Context, err error) error {
	var unreadable *unreadableError
	if !errors.As(err, &unreadable) {
		return err
	}
	return errors.Join(err, s.journal.destroy(ctx, unreadable.log))
}

func (s *Stream) isFilled() bool {
	select {
	case <-s.Synced():
		return true
	default:
		return false
	}
}

// establish makes a new log of what this replica knows.
func (s *Stream) establish(ctx context.Context) error {
	log, err := s.journal.begin(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.tellAlone() // so that the Hub holds all that the marks cover
	marked, states := s.marked, s.States()
	s.mu.Unlock()
	var operations []operation
	for _, known := range states {
		if len(operations) >= batch {
			if _, err := s.journal.append(ctx, log, feed.ResourceVersions{}, false, operations...); err != nil {
				return err
			}
			operations = operations[:0]
		}
		operations = append(operations, operationOf(feed.Change{Job: known.Job}))
		if known.Retired {
			operations = append(operations, operationOf(feed.Change{Retired: known.Job.ID}))
		}
	}
	_, err = s.journal.append(ctx, log, marked, true, operations...)
	if errors.Is(err, errNoLog) {
		return nil // another replica has made one
	}
	return err
}

// check returns an error, and removes the log, when Redis has lost what this replica has read up to a place.
func (s *Stream) check(ctx context.Context, log string, place uint64) error {
	now, last, entry, err := s.journal.head(ctx, place)
	switch {
	case err != nil:
		return err
	case now != log:
		return errNoLog
	case last < place, s.entry != "" && entry != "" && entry != s.entry:
		if err := s.journal.destroy(ctx, log); err != nil {
			return fmt.Errorf("remove a shared log that has lost its end: %w", err)
		}
		return fmt.Errorf("%w: Redis came back without its end", errGap)
	}
	return nil
}

// attach takes all states of the log, and has the log told what it lacks.
func (s *Stream) attach(c *contents) {
	s.mu.Lock()
	defer s.mu.Unlock()
	lacking := s.Hub.Load(c.Snapshot)
	s.attached, s.settledPlace = c.Log, 0
	s.heard = time.Now().Add(-c.silence)
	s.attachments.Add(1)
	for _, change := range slices.Concat(lacking, s.unread.all()) {
		s.enqueue(change)
	}
	if s.pending.empty() {
		s.settled = s.accepted
	}
	s.settle()
	s.setLive(c.silence < s.silence)
	if s.live {
		s.Hub.SetSynced()
	}
}

// detach keeps what is published for the next log.
func (s *Stream) detach() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.detachLocked()
}

func (s *Stream) detachLocked() {
	if s.attached == "" {
		return
	}
	s.attached, s.pending, s.expected, s.heardOrBegan = "", pending{}, 0, time.Now()
	s.setLive(false)
	s.progress.Notify()
}

func (s *Stream) setLive(live bool) {
	if s.live != live {
		s.live = live
		s.liveChanged.Notify()
	}
}

// judge decides whether the log is live and whether all that was published has come back.
func (s *Stream) judge() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle()
	s.setLive(s.attached != "" && time.Since(s.heard) < s.silence)
	s.missLeader()
}

// missLeader tells, once, that Redis works and yet nobody has been heard through it for long.
func (s *Stream) missLeader() {
	switch {
	case s.live:
		if s.missing {
			s.log.Info("a leader is heard through Redis again")
		}
		s.heardOrBegan, s.missing = time.Now(), false
	case !s.missing && time.Since(s.heardOrBegan) > s.silence:
		s.missing = true
		s.log.Warn("no leader is heard through Redis; this replica watches the cluster for itself",
			"hint", "no leader sees the cluster, or replicas differ in --redis-url, --redis-prefix or --cluster-name")
	}
}

// apply takes one entry of the log.
func (s *Stream) apply(r record) {
	s.Hub.Follow(r.Entry)
	s.lag.Store(int64(time.Since(r.time)))
	switch r.kind {
	case entryBeat:
		s.mu.Lock()
		s.heard = time.Now()
		if r.unproven >= 0 {
			s.proven = s.heard.Add(-r.unproven)
		}
		s.mu.Unlock()
		s.Hub.SetSynced()
	case entryResign:
		select {
		case s.vacant <- struct{}{}:
		default:
		}
	}
}

// reached reports whether the log has been taken up to a place.
func (s *Stream) reached(place uint64) bool {
	_, at := s.LogOffset()
	return at >= place
}
