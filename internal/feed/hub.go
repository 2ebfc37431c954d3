package feed

import (
	"context"
	"iter"
	"slices"
	"sync"
	"time"

	"pullwatch/internal/broadcast"
	"pullwatch/internal/pull"
	"pullwatch/internal/usererr"
)

// MaxRetired is how many pulls are remembered after their Job is gone, for subscribers that come back and ask how it ended.
const MaxRetired = 1024

// Hub holds the pulls as this replica knows them and fans their states out. Make one with New.
type Hub struct {
	replica string

	mu sync.Mutex
	// log holds every pull's latest state in the order of change. A superseded entry is empty; compact removes those.
	log    []entry
	latest map[string]*known
	seq    uint64
	gone   []string // the retired pulls, oldest first
	// running holds the pulls that have not ended, by what they copy.
	running map[pull.Route]*known
	// queued holds the pulls that wait in the queue and are not gone.
	queued map[*known]struct{}
	all    map[*Subscription]struct{} // the subscriptions to all pulls

	subscriptions int    // all of them
	conflated     uint64 // states that a newer one took the place of before a subscription had them

	// shared names the log that replicas share, place is how far it has been taken.
	shared string
	place  uint64
	// unplaced holds the states that this replica told by itself and that are not known to be in the shared log. unplacedMarks are
	// the highest resourceVersions in them, and in what was among them before.
	unplaced      map[*known]struct{}
	unplacedMarks ResourceVersions
	// held are the subscriptions whose readers have seen more than this replica has.
	held map[*Subscription]struct{}
	// horizon is the highest seq and place of all pulls that have been forgotten.
	horizonSeq, horizonPlace uint64
	// marked is how far the Hub knows the cluster, watched how far this replica's own watch has told it: what Mark was told.
	marked, watched ResourceVersions

	filled   chan struct{}
	fillOnce sync.Once
	changed  broadcast.Signal
}

// entry is a place in the log. It stands for nothing once its state has moved on to a later place.
type entry struct {
	seq   uint64
	state *known
}

// known is what is known of a pull.
type known struct {
	job *pull.Job
	seq uint64
	// place is where the state stands in the shared log; 0 when it is not known to be there.
	place uint64
	gone  bool
	// withheld is set for what the shared log says of a pull whose Job is gone, as this replica has seen. How it ended is
	// told once that is known: a reader may have been told so already.
	withheld bool
	readers  []*Subscription // those that asked for it by id
}

// New returns an empty Hub. replica is a name that no other one has, in lower-case letters and digits, and becomes part of
// the revisions that clients see.
func New(replica string) *Hub {
	return &Hub{
		replica: replica, latest: map[string]*known{}, running: map[pull.Route]*known{}, queued: map[*known]struct{}{}, filled: make(chan struct{}),
		all: map[*Subscription]struct{}{}, unplaced: map[*known]struct{}{}, held: map[*Subscription]struct{}{},
	}
}

// Publish takes a pull's state if it supersedes the known one. It never blocks.
func (h *Hub) Publish(job *pull.Job) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.take(job, 0)
}

// take takes a state that stands at a place of the shared log, or at none.
func (h *Hub) take(job *pull.Job, place uint64) {
	s := h.latest[job.ID]
	if s != nil && (!job.Supersedes(s.job) || job.Same(s.job)) {
		if s.place == 0 && place > 0 && !s.job.Supersedes(job) {
			h.settleLocked(s, job, place)
		}
		if job.Supersedes(s.job) { // nobody has to be told, but what follows is compared with it
			state := *s.job
			state.Revision = job.Revision
			s.job = &state
		}
		return
	}
	withheld := s == nil && place > 0 && !job.Phase.Final() && job.Revision.Cluster <= h.watched.Jobs
	if s == nil {
		s = &known{}
		h.latest[job.ID] = s
	}
	before := s.seq
	h.seq++
	state := *job
	state.Position = h.positionLocked(s, job.Revision, place)
	if s.gone { // its name is used again
		h.gone = slices.DeleteFunc(h.gone, func(id string) bool { return id == job.ID })
	}
	s.job, s.seq, s.place, s.gone, s.withheld = &state, h.seq, place, false, withheld
	h.indexLocked(s)
	h.log = append(h.log, entry{h.seq, s})
	if len(h.log) > 2*len(h.latest)+64 {
		h.compact()
	}
	for sub := range h.all {
		sub.wake(before)
	}
	for _, sub := range s.readers {
		sub.wake(before)
	}
	h.changed.Notify()
}

// indexLocked finds a pull by what it copies while it has not ended, and among the queued ones while it waits.
func (h *Hub) indexLocked(s *known) {
	if r := s.job.Route(); !s.job.Phase.Final() && !s.withheld {
		h.running[r] = s
	} else if h.running[r] == s {
		delete(h.running, r)
	}
	if s.job.Phase == pull.Queued && !s.withheld {
		h.queued[s] = struct{}{}
	} else {
		delete(h.queued, s)
	}
}

// positionLocked returns the position of a pull's state, which is taken as the latest of all. A reader that has it has what
// this replica told by itself before, too, so as long as there is such a state, the position says both.
func (h *Hub) positionLocked(s *known, revision pull.Revision, place uint64) pull.Position {
	at := pull.Position{Log: h.shared, Seq: place}
	delete(h.unplaced, s)
	if place == 0 {
		at.Seq = h.place
		h.unplaceLocked(s, revision)
	}
	if place == 0 || len(h.unplaced) > 0 {
		at.Replica, at.Local, at.Jobs, at.Pods = h.replica, h.seq, h.unplacedMarks.Jobs, h.unplacedMarks.Pods
	}
	return at
}

// unplaceLocked notes a state that readers may have although it is not known to be in the shared log.
func (h *Hub) unplaceLocked(s *known, revision pull.Revision) {
	if h.shared != "" {
		if len(h.unplaced) == 0 {
			h.unplacedMarks = ResourceVersions{}
		}
		h.unplaced[s] = struct{}{}
	}
	h.unplacedMarks = h.unplacedMarks.Max(ResourceVersions{revision.Cluster, revision.Pods})
}

// settleLocked takes that a state which this replica has told by itself stands at a place of the shared log. Where the log
// says something else of the same revision or the same end, that holds for new readers; who was told is not told again.
func (h *Hub) settleLocked(s *known, job *pull.Job, place uint64) {
	s.place = place
	delete(h.unplaced, s)
	if job.Same(s.job) {
		return
	}
	state := *job
	if state.Position = s.job.Position; s.seq == h.seq { // else a reader that has it need not have all before that place
		state.Position = pull.Position{Log: h.shared, Seq: place}
	}
	s.job = &state
	if !s.gone {
		h.indexLocked(s)
	}
	h.changed.Notify()
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
	h.retire(id)
}

func (h *Hub) retire(id string) {
	s := h.latest[id]
	if s == nil || s.gone {
		return
	}
	s.gone = true
	delete(h.queued, s)
	if r := s.job.Route(); h.running[r] == s {
		delete(h.running, r)
	}
	h.changed.Notify()
	h.gone = append(h.gone, id)
	for range len(h.gone) {
		if len(h.gone) <= MaxRetired {
			return
		}
		oldest := h.gone[0]
		h.gone = h.gone[1:]
		if k := h.latest[oldest]; k != nil && len(k.readers) > 0 {
			h.gone = append(h.gone, oldest) // somebody may still be owed its last state
			continue
		}
		h.forget(oldest)
	}
}

func (h *Hub) forget(id string) {
	s := h.latest[id]
	if s == nil || !s.gone {
		return
	}
	delete(h.latest, id)
	delete(h.unplaced, s)
	h.horizonSeq = max(h.horizonSeq, s.seq)
	if s.place == 0 {
		s.place = h.place // the shared log may hold it at any place up to here
	}
	h.horizonPlace = max(h.horizonPlace, s.place)
	s.seq = 0
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

// Running returns the pull of a route that has not ended, nil when there is none.
func (h *Hub) Running(r pull.Route) *pull.Job {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.running[r]; s != nil {
		return s.job
	}
	return nil
}

// Pulls returns the latest state of every pull that has not been retired, in no order.
func (h *Hub) Pulls() []*pull.Job {
	return h.pulls(func(*known) bool { return true })
}

// Active returns the pulls that have not ended, newest first.
func (h *Hub) Active() []*pull.Job {
	jobs := h.pulls(func(k *known) bool { return !k.job.Phase.Final() && !k.withheld })
	pull.SortActive(jobs)
	return jobs
}

// ActiveCount returns how many pulls have not ended.
func (h *Hub) ActiveCount() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.running)
}

// Queued returns how many pulls wait in the queue: the known ones that do, and those among starting that are not known
// yet.
func (h *Hub) Queued(starting iter.Seq[string]) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := len(h.queued)
	for id := range starting {
		if h.latest[id] == nil {
			n++
		}
	}
	return n
}

// Failed returns the failed pulls whose Jobs exist, the latest first.
func (h *Hub) Failed() []*pull.Job {
	jobs := h.pulls(func(k *known) bool { return k.job.Phase == pull.Failed })
	pull.SortFailed(jobs)
	return jobs
}

func (h *Hub) pulls(wanted func(*known) bool) []*pull.Job {
	h.mu.Lock()
	defer h.mu.Unlock()
	jobs := make([]*pull.Job, 0, len(h.latest))
	for _, s := range h.latest {
		if !s.gone && wanted(s) {
			jobs = append(jobs, s.job)
		}
	}
	return jobs
}

// Changed returns a channel that has a value once some pull has changed, and the function that ends the subscription.
func (h *Hub) Changed() (<-chan struct{}, func()) { return h.changed.Subscribe() }

// SetResourceVersions notes that every change up to these resourceVersions, of Jobs and of pods, has been published.
func (h *Hub) SetResourceVersions(jobs, pods uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watched = h.watched.Max(ResourceVersions{jobs, pods})
	h.marked = h.marked.Max(h.watched)
	h.releaseReachedLocked()
}

// ResourceVersions returns the highest resourceVersions that were marked; 0 and 0 for none.
func (h *Hub) ResourceVersions() (jobs, pods uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.marked.Jobs, h.marked.Pods
}

// SetSynced tells that every pull that exists has been published.
func (h *Hub) SetSynced() { h.fillOnce.Do(func() { close(h.filled) }) }

// Synced is closed after the first SetSynced.
func (h *Hub) Synced() <-chan struct{} { return h.filled }

// AwaitSync waits for Synced, 10 s at most. The error is a usererr.Unavailable.
func (h *Hub) AwaitSync(ctx context.Context) error {
	const longest = 10 * time.Second
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	select {
	case <-h.filled:
		return nil
	case <-ctx.Done():
		return usererr.New(usererr.Unavailable, "the server has not read the state of the cluster yet; try again in a moment")
	}
}

// Flush returns at once: what is published to a Hub is seen from then on.
func (h *Hub) Flush(context.Context) {}

// Await returns at once. A reader that has seen more waits in its subscription.
func (h *Hub) Await(context.Context, pull.Position) {}
