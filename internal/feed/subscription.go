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

// Subscription is one reader's place in the feed. Its methods are for one goroutine at a time, but for Close.
type Subscription struct {
	hub    *Hub
	pulls  []*known // those with the ids that were asked for; nil for all pulls
	cursor uint64   // the seq of the last state that was delivered
	start  uint64   // the seq at which the subscription began
	ready  func()   // nil until somebody waits
	closed bool
	// after is where the reader has come to already, in the order that seenBy names.
	after  pull.Position
	seenBy order
	// overdue ends a hold; nil when there was none.
	overdue *time.Timer
}

// order is one in which a reader's earlier place can be found again.
type order int

const (
	noOrder order = iota // the reader gets a snapshot
	sharedOrder
	localOrder
)

// Subscribe returns a Subscription to the pulls in ids, or to all pulls when ids is nil. It first delivers the state of
// each as it is now, without what a reader has that was delivered everything up to after; the zero Position stands for a
// reader that has nothing. What was delivered after a Position that this replica does not remember is delivered again. To a
// reader that has seen more than this replica nothing is delivered until the replica has caught up; after holdLimit all is
// delivered again. The caller closes the Subscription. An id that is not known is a usererr.NotFound, or a
// usererr.Unavailable where the reader may know it from another replica.
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

// distinct removes pulls that come again.
func distinct(pulls []*known) []*known {
	seen := make(map[*known]bool, len(pulls))
	return slices.DeleteFunc(pulls, func(k *known) bool {
		again := seen[k]
		seen[k] = true
		return again
	})
}

// pass moves the cursor behind what the reader had before, for the order in which that is known may come to an end.
func (s *Subscription) pass() {
	if next, _ := s.next(); next != nil {
		s.cursor = next.seq - 1
	}
}

// seen reports whether the reader had a state before it subscribed.
func (s *Subscription) seen(k *known) bool {
	switch s.seenBy {
	case localOrder:
		return k.seq <= s.after.Local
	case sharedOrder:
		return k.place > 0 && k.place <= s.after.Seq && s.hub.shared == s.after.Log
	}
	return false
}

// wake tells the reader that there is a new state of a pull, of which the one before was the seq that is given. The hub
// is locked.
func (s *Subscription) wake(before uint64) {
	if before > s.cursor {
		s.hub.conflated++
	}
	if s.ready != nil {
		s.ready()
	}
}

// Notify makes ready be called whenever a state has come since the last Next. It is called with the Hub locked, so it must
// not block nor call the Hub, and it is not called after Close. States that are there already are not told of.
func (s *Subscription) Notify(ready func()) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.ready = ready
}

// Next returns the next state: of each pull the latest, in the order of change. It returns nil when there is none yet, and
// io.EOF when the last state of every pull that was asked for by id has been returned.
func (s *Subscription) Next() (*pull.Job, error) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	next, ended := s.next()
	switch {
	case next != nil:
		s.cursor = next.seq
		return next.job, nil
	case ended:
		return nil, io.EOF
	}
	return nil, nil
}

// Await is Next, but it waits until there is a state, and returns ctx's error when ctx is done. It takes the place of
// Notify.
func (s *Subscription) Await(ctx context.Context) (*pull.Job, error) {
	signal := make(chan struct{}, 1)
	s.Notify(func() {
		select {
		case signal <- struct{}{}:
		default:
		}
	})
	for {
		if job, err := s.Next(); job != nil || err != nil {
			return job, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-signal:
		}
	}
}

// next returns the first state behind the cursor, and when there is none whether none will ever come.
func (s *Subscription) next() (next *known, ended bool) {
	if _, held := s.hub.held[s]; held {
		return nil, false
	}
	if s.pulls == nil {
		return s.nextOfAll(), false
	}
	return s.nextOfPulls()
}

func (s *Subscription) nextOfAll() *known {
	log := s.hub.log
	for _, e := range log[sort.Search(len(log), func(i int) bool { return log[i].seq > s.cursor }):] {
		superseded := e.state.seq != e.seq
		// Who comes for the first time is not told of what is over; who comes again may have missed just that.
		goneBefore := e.state.gone && e.seq <= s.start && s.after == (pull.Position{})
		if !superseded && !goneBefore && !e.state.withheld && !s.seen(e.state) {
			return e.state
		}
		s.cursor = e.seq
	}
	return nil
}

func (s *Subscription) nextOfPulls() (next *known, ended bool) {
	ended = true
	for _, k := range s.pulls {
		ended = ended && k.job.Phase.Final()
		if k.seq > s.cursor && (next == nil || k.seq < next.seq) && !k.withheld && !s.seen(k) {
			next = k
		}
	}
	if next == nil {
		s.cursor = s.hub.seq
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
	delete(s.hub.held, s)
	if s.overdue != nil {
		s.overdue.Stop()
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
