// Package feed hands the states of pulls to all who subscribed to them.
//
// Updates carry state, not change: a subscriber that was slow is owed the latest state of each pull and nothing else. So
// the Hub keeps one log for all, in which each pull stands once, at the place of its latest change; a subscription is
// little more than its position in that log. A slow subscriber costs no memory and delays nobody.
package feed

import (
	"context"
	"io"
	"sort"
	"sync"

	"pullwatch/pull"
	"pullwatch/usererr"
)

// retired is how many pulls are remembered after their Job is gone, for subscribers that come back and ask how it ended.
const retired = 1024

// Hub takes the states of pulls and fans them out. Make one with New.
type Hub struct {
	mu sync.Mutex
	// log holds every pull's latest state in the order of change. A superseded entry is empty; compact removes those.
	log     []entry
	live    int // entries that are not empty
	latest  map[string]*entryState
	seq     uint64
	gone    []string // the retired pulls, oldest first
	all     map[*Subscription]struct{}
	watches map[string]map[*Subscription]struct{} // by pull
}

// entry is a place in the log. It stands for nothing once its state has moved on to a later place.
type entry struct {
	seq   uint64
	state *entryState
}

type entryState struct {
	job  *pull.Job
	seq  uint64
	gone bool
}

// New returns an empty Hub.
func New() *Hub {
	return &Hub{latest: map[string]*entryState{}, all: map[*Subscription]struct{}{}, watches: map[string]map[*Subscription]struct{}{}}
}

// Publish takes a pull's new state. It never blocks.
func (h *Hub) Publish(job *pull.Job) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.latest[job.ID]
	if s == nil {
		s = &entryState{}
		h.latest[job.ID] = s
		h.live++
	}
	h.seq++
	s.job, s.seq, s.gone = job, h.seq, false
	h.log = append(h.log, entry{h.seq, s})
	if len(h.log) > 2*h.live+64 {
		h.compact()
	}
	for sub := range h.all {
		sub.wake()
	}
	for sub := range h.watches[job.ID] {
		sub.wake()
	}
}

// compact drops the entries that have been superseded.
func (h *Hub) compact() {
	kept := h.log[:0]
	for _, e := range h.log {
		if e.state.seq == e.seq {
			kept = append(kept, e)
		}
	}
	clear(h.log[len(kept):])
	h.log = kept
}

// Retire takes the id of a pull of which nothing more will come. Subscribers still get its last state; new ones that ask
// for all pulls do not, and new ones that ask for it by id do for as long as it is remembered.
func (h *Hub) Retire(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.latest[id]
	if s == nil || s.gone {
		return
	}
	s.gone = true
	h.gone = append(h.gone, id)
	for range len(h.gone) {
		if len(h.gone) <= retired {
			return
		}
		oldest := h.gone[0]
		h.gone = h.gone[1:]
		if len(h.watches[oldest]) > 0 {
			h.gone = append(h.gone, oldest) // somebody may still be owed its last state
			continue
		}
		h.forget(oldest)
	}
}

func (h *Hub) forget(id string) {
	if s := h.latest[id]; s != nil && s.gone {
		delete(h.latest, id)
		s.seq = 0
		h.live--
	}
}

// Latest returns a pull's latest state, nil when the pull is not known.
func (h *Hub) Latest(id string) *pull.Job {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.latest[id]; s != nil {
		return s.job
	}
	return nil
}

// Subscription is one reader's place in the feed. Next is for one goroutine at a time.
type Subscription struct {
	hub    *Hub
	ids    []string // nil for all pulls
	cursor uint64   // the seq of the last state that was delivered
	start  uint64   // the seq at which the subscription began
	signal chan struct{}
}

// Subscribe returns a Subscription to the pulls in ids, or to all pulls when ids is nil. It first delivers the state of
// each as it is now. The caller closes it. An id that is not known is a usererr.NotFound.
func (h *Hub) Subscribe(ids []string) (*Subscription, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	sub := &Subscription{hub: h, start: h.seq, signal: make(chan struct{}, 1)}
	sub.wake()
	if ids == nil {
		h.all[sub] = struct{}{}
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
	return sub, nil
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
	var next *entryState
	if s.ids == nil {
		next = s.nextOfAll()
	} else {
		next, ended = s.nextOfIDs()
	}
	if next == nil {
		return nil, ended
	}
	s.cursor = next.seq
	return next.job, false
}

func (s *Subscription) nextOfAll() *entryState {
	log := s.hub.log
	for _, e := range log[sort.Search(len(log), func(i int) bool { return log[i].seq > s.cursor }):] {
		superseded := e.state.seq != e.seq
		goneBefore := e.state.gone && e.seq <= s.start
		if !superseded && !goneBefore {
			return e.state
		}
	}
	return nil
}

func (s *Subscription) nextOfIDs() (next *entryState, ended bool) {
	ended = true
	for _, id := range s.ids {
		e := s.hub.latest[id]
		if e == nil {
			continue
		}
		ended = ended && e.job.Phase.Final()
		if e.seq > s.cursor && (next == nil || e.seq < next.seq) {
			next = e
		}
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
