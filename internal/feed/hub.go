package feed

import (
	"context"
	"iter"
	"slices"
	"sync"

	"pullwatch/internal/broadcast"
	"pullwatch/internal/pull"
)

// MaxRetired is how many pulls are remembered after their Job is gone, for subscribers that return and ask how a pull ended.
const MaxRetired = 1024

// Hub holds the pulls as this replica knows them and sends their states to subscribers. Make one with New. Methods that end in
// Locked need mu.
type Hub struct {
	replica string

	mu sync.Mutex
	// slots are in the order of change. Readers skip superseded ones, and compactLocked removes them.
	slots   []slot
	latest  map[string]*known // by id
	seq     uint64            // of the last slot
	retired []string          // ids of the retired pulls, oldest first
	// running holds the pulls that have not ended, by what they copy. Of one route there may be several for a moment. active is how
	// many there are of all routes.
	running map[pull.Route][]*known
	active  int
	// queued holds the pulls that wait in the queue and are not retired.
	queued map[*known]struct{}
	all    map[*Subscription]struct{} // the subscriptions to all pulls

	subscriptions int    // all of them
	conflated     uint64 // states that a newer one replaced before a subscription had them

	// sharesLog is set if there is a shared log. logName is its name, empty until it has been read. logOffset is the offset of
	// the last entry that was taken from it.
	sharesLog bool
	logName   string
	logOffset uint64
	// unlogged holds the pulls whose states this replica published by itself and does not know to be in the shared log.
	// unloggedVersions are the highest resourceVersions of these states, and of those that were among them before.
	unlogged         map[*known]struct{}
	unloggedVersions ResourceVersions
	// waiting holds the subscriptions whose readers are ahead of this replica.
	waiting map[*Subscription]struct{}
	// horizonSeq and horizonOffset are the highest seq and offset of all forgotten pulls.
	horizonSeq, horizonOffset uint64
	// versions are the resourceVersions up to which the Hub knows every change since knownSince, where its first watch began, or
	// since there is a shared log. watchedVersions are those that SetResourceVersions was given: how far this replica's own
	// watch has come.
	versions, knownSince, watchedVersions ResourceVersions
	// gap is set while this replica's own watch has passed over changes that the Hub does not know: it began after versions. missed
	// then has a value, and another watch must begin.
	gap    bool
	missed chan struct{}

	synced   chan struct{}
	syncOnce sync.Once
	changed  broadcast.Signal
}

// slot is the place of a state in the order of change. It is superseded once its pull has the seq of a later slot.
type slot struct {
	seq  uint64
	pull *known
}

// known is what the Hub knows of a pull.
type known struct {
	state *pull.State
	seq   uint64 // of its slot
	// offset is the state's place in the shared log; 0 when it is not known to be there.
	offset  uint64
	retired bool // its Job is gone
	// withheld is set when the shared log brings a state that is not final of a pull whose Job is gone, as this replica's
	// watch has seen. A reader may know how the pull ended. So subscribers get nothing of it until the log brings its end.
	withheld bool
	readers  []*Subscription // those that asked for it by id
	exits    []exit          // at most one of each phase
}

// New returns an empty Hub. replica is a name that no other replica has, in lower-case letters and digits. It becomes part of
// the revisions that clients see.
func New(replica string) *Hub {
	return &Hub{
		replica: replica, latest: map[string]*known{}, running: map[pull.Route][]*known{}, queued: map[*known]struct{}{}, synced: make(chan struct{}),
		missed: make(chan struct{}, 1),
		all:    map[*Subscription]struct{}{}, unlogged: map[*known]struct{}{}, waiting: map[*Subscription]struct{}{},
	}
}

// Publish takes a pull's state if it supersedes the known one. It does not wait.
func (h *Hub) Publish(state *pull.State) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.takeLocked(state, 0)
}

// takeLocked takes a state, with its offset in the shared log; 0 for none. It reports whether the log brings a pull
// that this replica's own watch has passed over: its Job was gone before.
func (h *Hub) takeLocked(state *pull.State, offset uint64) (passed bool) {
	k := h.latest[state.ID]
	if k != nil && (!state.Supersedes(k.state) || state.Same(k.state)) {
		if k.offset == 0 && offset > 0 && !k.state.Supersedes(state) {
			h.confirmLocked(k, state, offset)
		}
		if state.Supersedes(k.state) { // nothing new for subscribers, but later states are compared with it
			unchanged := *k.state
			unchanged.Revision = state.Revision
			k.state = &unchanged
		}
		return false
	}
	passed = k == nil && offset > 0 && state.Revision.Cluster <= h.watchedVersions.Jobs
	if k == nil {
		k = &known{}
		h.latest[state.ID] = k
	}
	before := k.seq
	h.seq++
	placed := *state
	placed.Position = h.positionLocked(k, state.Revision, offset)
	if k.state != nil && k.state.Phase != state.Phase {
		k.noteExitLocked(k.state.Phase, h.seq)
	}
	if k.retired { // its name is used again
		h.retired = slices.DeleteFunc(h.retired, func(id string) bool { return id == state.ID })
	}
	k.state, k.seq, k.offset, k.retired, k.withheld = &placed, h.seq, offset, false, passed && !state.Phase.Final()
	h.indexLocked(k)
	h.slots = append(h.slots, slot{h.seq, k})
	if len(h.slots) > 2*len(h.latest)+64 {
		h.compactLocked()
	}
	for sub := range h.all {
		sub.wakeLocked(before)
	}
	for _, sub := range k.readers {
		sub.wakeLocked(before)
	}
	h.changed.Notify()
	return passed
}

// indexLocked puts a pull into running if it has not ended, and into queued if it waits; otherwise it removes it there.
func (h *Hub) indexLocked(k *known) {
	h.setRunningLocked(k, !k.state.Phase.Final() && !k.withheld)
	if k.state.Phase == pull.Queued && !k.withheld {
		h.queued[k] = struct{}{}
	} else {
		delete(h.queued, k)
	}
}

// setRunningLocked puts a pull into running, or removes it there.
func (h *Hub) setRunningLocked(k *known, runs bool) {
	route := k.state.Route()
	all := h.running[route]
	i := slices.Index(all, k)
	if runs == (i >= 0) {
		return
	}
	if runs {
		h.running[route] = append(all, k)
		h.active++
		return
	}
	h.active--
	if h.running[route] = slices.Delete(all, i, i+1); len(h.running[route]) == 0 {
		delete(h.running, route)
	}
}

// positionLocked returns the position of a state that is about to become the latest of all. A reader that has it also has
// everything that this replica published by itself before. While some of that is unlogged, the position names the replica, too.
func (h *Hub) positionLocked(k *known, revision pull.Revision, offset uint64) pull.Position {
	at := pull.Position{Log: h.logName, Seq: offset}
	delete(h.unlogged, k)
	if offset == 0 {
		at.Seq = h.logOffset
		h.addUnloggedLocked(k, revision)
	}
	if offset == 0 || len(h.unlogged) > 0 {
		at.Replica, at.Local, at.Jobs, at.Pods = h.replica, h.seq, h.unloggedVersions.Jobs, h.unloggedVersions.Pods
	}
	return at
}

// addUnloggedLocked notes a state that readers may have although it is not known to be in the shared log.
func (h *Hub) addUnloggedLocked(k *known, revision pull.Revision) {
	if h.logName != "" {
		if len(h.unlogged) == 0 {
			h.unloggedVersions = ResourceVersions{}
		}
		h.unlogged[k] = struct{}{}
	}
	h.unloggedVersions = h.unloggedVersions.Max(ResourceVersions{revision.Cluster, revision.Pods})
}

// confirmLocked notes the offset of a state that this replica has published by itself. The shared log may hold another state
// of the same revision, or another final one. New readers get that one; others get nothing again.
func (h *Hub) confirmLocked(k *known, state *pull.State, offset uint64) {
	k.offset = offset
	delete(h.unlogged, k)
	if state.Same(k.state) {
		return
	}
	placed := *state
	if placed.Position = k.state.Position; k.seq == h.seq { // else a reader that has it may lack something before that offset
		placed.Position = pull.Position{Log: h.logName, Seq: offset}
	}
	k.state = &placed
	if !k.retired {
		h.indexLocked(k)
	}
	h.changed.Notify()
}

// compactLocked removes superseded slots.
func (h *Hub) compactLocked() {
	kept := h.slots[:0]
	for _, e := range h.slots {
		if e.pull.seq == e.seq {
			kept = append(kept, e)
		}
	}
	clear(h.slots[len(kept):])
	h.slots = kept
}

// Retire says that the Job of the pull with this id is gone, so no state of it follows. Subscribers still get its last
// state. New subscribers to all pulls do not. Those that ask for it by id do until it is forgotten: see MaxRetired.
func (h *Hub) Retire(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.retireLocked(id)
}

func (h *Hub) retireLocked(id string) {
	k := h.latest[id]
	if k == nil || k.retired {
		return
	}
	k.retired = true
	delete(h.queued, k)
	h.setRunningLocked(k, false)
	h.changed.Notify()
	h.retired = append(h.retired, id)
	for range len(h.retired) {
		if len(h.retired) <= MaxRetired {
			return
		}
		oldest := h.retired[0]
		h.retired = h.retired[1:]
		if k := h.latest[oldest]; k != nil && len(k.readers) > 0 {
			h.retired = append(h.retired, oldest) // a subscriber may still have to get its last state
			continue
		}
		h.forgetLocked(oldest)
	}
}

func (h *Hub) forgetLocked(id string) {
	k := h.latest[id]
	if k == nil || !k.retired {
		return
	}
	delete(h.latest, id)
	delete(h.unlogged, k)
	h.horizonSeq = max(h.horizonSeq, k.seq)
	if k.offset == 0 {
		k.offset = h.logOffset // the shared log may hold it at any offset up to here
	}
	h.horizonOffset = max(h.horizonOffset, k.offset)
	k.seq = 0
}

// Latest returns a pull's latest state, nil when the pull is not known.
func (h *Hub) Latest(id string) *pull.State {
	h.mu.Lock()
	defer h.mu.Unlock()
	if k := h.latest[id]; k != nil {
		return k.state
	}
	return nil
}

// Running returns the pull of a route that has not ended, nil when there is none. Of several it returns the one that is known for
// the longest time.
func (h *Hub) Running(r pull.Route) *pull.State {
	h.mu.Lock()
	defer h.mu.Unlock()
	if all := h.running[r]; len(all) > 0 {
		return all[0].state
	}
	return nil
}

// Pulls returns the latest state of every pull that has not been retired, in no order.
func (h *Hub) Pulls() []*pull.State {
	return h.pulls(func(*known) bool { return true })
}

// Active returns the pulls that have not ended, newest first.
func (h *Hub) Active() []*pull.State {
	states := h.pulls(func(k *known) bool { return !k.state.Phase.Final() && !k.withheld })
	pull.SortActive(states)
	return states
}

// ActiveCount returns how many pulls have not ended.
func (h *Hub) ActiveCount() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.active
}

// Queued returns how many pulls wait in the queue. To the known ones it adds the ids in starting that are not known yet.
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
func (h *Hub) Failed() []*pull.State {
	states := h.pulls(func(k *known) bool { return k.state.Phase == pull.Failed })
	pull.SortFailed(states)
	return states
}

func (h *Hub) pulls(wanted func(*known) bool) []*pull.State {
	h.mu.Lock()
	defer h.mu.Unlock()
	states := make([]*pull.State, 0, len(h.latest))
	for _, k := range h.latest {
		if !k.retired && wanted(k) {
			states = append(states, k.state)
		}
	}
	return states
}

// Changed returns a channel that has a value once some pull has changed, and the function that ends the subscription.
func (h *Hub) Changed() (<-chan struct{}, func()) { return h.changed.Subscribe() }

// Flush returns at once: a Hub knows a state as soon as it is published.
func (h *Hub) Flush(context.Context) {}

// Await returns at once. A reader that is ahead of the Hub waits in its Subscription.
func (h *Hub) Await(context.Context, pull.Position) {}
