package feed

import (
	"context"
	"io"
	"slices"
	"sort"
	"time"

	"pullwatch/internal/pull"
	"pullwatch/internal/usererr"
)

// Subscription is one reader's place in the order of change. All methods but Close are for one goroutine at a time.
type Subscription struct {
	hub       *Hub
	pulls     []*known // those with the ids that were asked for; nil for all pulls
	delivered uint64   // the seq up to which everything was delivered or skipped
	start     uint64   // the seq at which the subscription began
	ready     func()   // nil until somebody waits
	closed    bool
	filter    filter
	// after is the position up to which the reader has everything, in the order that seenBy names.
	after  pull.Position
	seenBy order
	// deadline ends the wait for this replica to catch up; nil when there was none.
	deadline *time.Timer
}

// order is one of the two orders in which a reader's earlier position can be found again.
type order int

const (
	noOrder    order = iota // in none: the reader gets a snapshot
	logOrder                // by offset, in the shared log
	localOrder              // by seq, on this replica
)

// Subscribe returns a Subscription to the pulls in ids, or to all pulls when ids is nil. The caller closes it.
//
// The reader has everything up to after; the zero Position stands for nothing. It first gets the present states that it does
// not have. If this replica does not remember after, it gets the present state of each pull. A reader that is ahead of this
// replica gets nothing until the replica has caught up. After catchUpLimit it gets the present state of each pull.
//
// An id that is not known is a usererr.NotFound, or a usererr.Unavailable where the reader may know it from another replica.
func (h *Hub) Subscribe(ids []string, after pull.Position) (*Subscription, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	sub := &Subscription{hub: h, start: h.seq, after: after}
	if ids == nil {
		h.all[sub] = struct{}{}
		h.subscriptions++
		sub.beginLocked()
		return sub, nil
	}
	sub.pulls = make([]*known, 0, len(ids))
	for _, id := range ids {
		k := h.latest[id]
		if k == nil {
			if h.behindLocked(after) {
				return nil, usererr.New(usererr.Unavailable, "this replica has not yet heard of pull %q; try again in a moment", id)
			}
			return nil, usererr.New(usererr.NotFound, "there is no pull %q; it may have ended and been removed", id)
		}
		sub.pulls = append(sub.pulls, k)
	}
	sub.pulls = distinct(sub.pulls)
	for _, k := range sub.pulls {
		k.readers = append(k.readers, sub)
	}
	h.subscriptions++
	sub.beginLocked()
	return sub, nil
}

// distinct removes repeated pulls.
func distinct(pulls []*known) []*known {
	seen := make(map[*known]bool, len(pulls))
	return slices.DeleteFunc(pulls, func(k *known) bool {
		again := seen[k]
		seen[k] = true
		return again
	})
}

// skipSeenLocked moves delivered past what the reader had before it subscribed. Later that may no longer be known.
func (s *Subscription) skipSeenLocked() {
	if next, _ := s.nextLocked(); next != nil {
		s.delivered = next.seq - 1
	}
}

// seenLocked reports whether the reader had a state before it subscribed.
func (s *Subscription) seenLocked(k *known) bool {
	switch s.seenBy {
	case localOrder:
		return k.seq <= s.after.Local
	case logOrder:
		return k.offset > 0 && k.offset <= s.after.Seq && s.hub.logName == s.after.Log
	}
	return false
}

// wakeLocked tells the reader that a pull has a new state. before is the seq of the pull's previous state.
func (s *Subscription) wakeLocked(before uint64) {
	if before > s.delivered {
		s.hub.conflated++
	}
	if s.ready != nil {
		s.ready()
	}
}

// Notify sets a function to be called whenever a state comes. It is not called for states that are there already, nor after
// Close. The Hub calls it with its lock held, so it must neither block nor call the Hub.
func (s *Subscription) Notify(ready func()) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.ready = ready
}

// Next returns the next state: of each pull the latest, in the order of change. It returns nil when there is none yet, and
// io.EOF when the last state of every pull that was asked for by id has been returned.
func (s *Subscription) Next() (*pull.State, error) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	next, ended := s.nextLocked()
	switch {
	case next != nil:
		s.delivered = next.seq
		return next.state, nil
	case ended:
		return nil, io.EOF
	}
	return nil, nil
}

// Await is Next, but waits until there is a state. It returns ctx's error when ctx is done. It replaces the function that
// Notify was given.
func (s *Subscription) Await(ctx context.Context) (*pull.State, error) {
	signal := make(chan struct{}, 1)
	s.Notify(func() {
		select {
		case signal <- struct{}{}:
		default:
		}
	})
	for {
		if state, err := s.Next(); state != nil || err != nil {
			return state, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-signal:
		}
	}
}

// nextLocked returns the first pull whose state has not been delivered. If there is none, ended tells whether none will come.
func (s *Subscription) nextLocked() (next *known, ended bool) {
	if _, waits := s.hub.waiting[s]; waits {
		return nil, false
	}
	if s.pulls == nil {
		return s.nextOfAllLocked(), false
	}
	return s.nextOfPullsLocked()
}

func (s *Subscription) nextOfAllLocked() *known {
	slots := s.hub.slots
	for _, e := range slots[sort.Search(len(slots), func(i int) bool { return slots[i].seq > s.delivered }):] {
		superseded := e.pull.seq != e.seq
		// A new reader does not need pulls that are gone. A reader that returns may have missed exactly those.
		retiredBefore := e.pull.retired && e.seq <= s.start && s.after == (pull.Position{})
		if !superseded && !retiredBefore && !e.pull.withheld && !s.seenLocked(e.pull) && s.wantsLocked(e.pull) {
			return e.pull
		}
		s.delivered = e.seq
	}
	s.settleLocked()
	return nil
}

func (s *Subscription) nextOfPullsLocked() (next *known, ended bool) {
	ended = true
	for _, k := range s.pulls {
		ended = ended && k.state.Phase.Final()
		if k.seq > s.delivered && (next == nil || k.seq < next.seq) && !k.withheld && !s.seenLocked(k) && s.wantsLocked(k) {
			next = k
		}
	}
	if next == nil {
		s.delivered = s.hub.seq
		s.settleLocked()
	}
	return next, ended
}

// Close ends the subscription. It may be called more than once.
func (s *Subscription) Close() {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if s.closed {
		return
	}
	s.closed, s.ready = true, nil
	delete(s.hub.waiting, s)
	if s.deadline != nil {
		s.deadline.Stop()
	}
	s.hub.subscriptions--
	delete(s.hub.all, s)
	for _, k := range s.pulls {
		last := len(k.readers) - 1
		k.readers[slices.Index(k.readers, s)] = k.readers[last]
		k.readers[last] = nil
		k.readers = k.readers[:last]
	}
}
