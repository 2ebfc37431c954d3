package feed

import (
	"context"
	"io"
	"sort"

	"pullwatch/pull"
	"pullwatch/usererr"
)

// Subscription is one reader's place in the feed. Next is for one goroutine at a time.
type Subscription struct {
	hub    *Hub
	ids    []string // nil for all pulls
	cursor uint64   // the seq of the last state that was delivered
	start  uint64   // the seq at which the subscription began
	signal chan struct{}
	// after is where the reader has come to already, in the order that seenBy names.
	after  pull.Position
	seenBy order
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
// reader that has nothing. What was delivered after a Position that this replica does not remember is delivered again. The
// caller closes the Subscription. An id that is not known is a usererr.NotFound.
func (h *Hub) Subscribe(ids []string, after pull.Position) (*Subscription, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	sub := &Subscription{hub: h, start: h.seq, signal: make(chan struct{}, 1), after: after}
	switch {
	case after.Replica == h.replica && after.Local >= h.horizonSeq:
		sub.seenBy = localOrder
	case after.Log != "" && after.Log == h.shared && after.Seq >= h.horizonPlace:
		sub.seenBy = sharedOrder
	}
	sub.wake()
	if ids == nil {
		h.all[sub] = struct{}{}
		sub.pass()
		return sub, nil
	}
	seen := make(map[string]bool, len(ids))
	sub.ids = make([]string, 0, len(ids))
	for _, id := range ids {
		if h.latest[id] == nil {
			return nil, usererr.New(usererr.NotFound, "there is no pull %q; it may have ended and been removed", id)
		}
		if !seen[id] {
			seen[id] = true
			sub.ids = append(sub.ids, id)
		}
	}
	for _, id := range sub.ids {
		if h.watches[id] == nil {
			h.watches[id] = map[*Subscription]struct{}{}
		}
		h.watches[id][sub] = struct{}{}
	}
	sub.pass()
	return sub, nil
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

func (s *Subscription) wake() {
	select {
	case s.signal <- struct{}{}:
	default:
	}
}

// Next waits for the next state and returns it: of each pull the latest, in the order of change. It returns io.EOF when
// the last state of every pull in ids has been returned, and ctx's error when ctx is done.
func (s *Subscription) Next(ctx context.Context) (*pull.Job, error) {
	for {
		job, ended := s.take()
		switch {
		case job != nil:
			return job, nil
		case ended:
			return nil, io.EOF
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-s.signal:
		}
	}
}

// take returns the first state behind the cursor and moves the cursor to it. When there is none it returns nil, and
// whether none will ever come.
func (s *Subscription) take() (job *pull.Job, ended bool) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	next, ended := s.next()
	if next == nil {
		return nil, ended
	}
	s.cursor = next.seq
	return next.job, false
}

// next returns the first state behind the cursor, and when there is none whether none will ever come.
func (s *Subscription) next() (next *known, ended bool) {
	if s.ids == nil {
		return s.nextOfAll(), false
	}
	return s.nextOfIDs()
}

func (s *Subscription) nextOfAll() *known {
	log := s.hub.log
	for _, e := range log[sort.Search(len(log), func(i int) bool { return log[i].seq > s.cursor }):] {
		superseded := e.state.seq != e.seq
		// Who comes for the first time is not told of what is over; who comes again may have missed just that.
		goneBefore := e.state.gone && e.seq <= s.start && s.after == (pull.Position{})
		if !superseded && !goneBefore && !s.seen(e.state) {
			return e.state
		}
		s.cursor = e.seq
	}
	return nil
}

func (s *Subscription) nextOfIDs() (next *known, ended bool) {
	ended = true
	for _, id := range s.ids {
		k := s.hub.latest[id]
		if k == nil {
			continue
		}
		ended = ended && k.job.Phase.Final()
		if k.seq > s.cursor && (next == nil || k.seq < next.seq) && !s.seen(k) {
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
	delete(s.hub.all, s)
	for _, id := range s.ids {
		delete(s.hub.watches[id], s)
		if len(s.hub.watches[id]) == 0 {
			delete(s.hub.watches, id)
		}
	}
}
