package feed

import (
	"math"
	"slices"

	"pullwatch/internal/pull"
)

// How a shared log fills a Hub. The log brings the changes of all replicas into one order. Whoever reads it calls Load with
// everything that it holds, and then Follow with each entry, in the order of the log. A Hub without a shared log needs none of
// this.

// ResourceVersions are the resourceVersions of Jobs and of pods up to which all changes are known.
type ResourceVersions struct{ Jobs, Pods uint64 }

// Max returns the higher ones of each.
func (v ResourceVersions) Max(other ResourceVersions) ResourceVersions {
	return ResourceVersions{max(v.Jobs, other.Jobs), max(v.Pods, other.Pods)}
}

// after reports whether v is known, and after other.
func (v ResourceVersions) after(other ResourceVersions) bool {
	return v.Jobs > other.Jobs && other.Jobs > 0
}

// Change is what happened to a pull. One of its fields is set.
type Change struct {
	// State is the pull's new state.
	State *pull.State
	// Retired is the id of a pull whose Job is gone.
	Retired string
}

// Entry is an entry of a shared log. It may hold no change, or only ResourceVersions.
type Entry struct {
	// Offset is greater than that of every entry before. Offsets are not consecutive.
	Offset uint64
	Change
	ResourceVersions ResourceVersions
}

// Pull is what a shared log or a Hub holds of a pull: its latest state.
type Pull struct {
	State *pull.State
	// Offset is the state's place in the shared log; 0 when it is not known to be there.
	Offset uint64
	// Retired is set when the pull's Job is gone.
	Retired bool
}

// Contents is everything that a shared log holds.
type Contents struct {
	// Log is its name. A log that replaces a lost one has another name and greater offsets.
	Log string
	// Offset is that of its last entry, Horizon the highest one of any pull that the log has forgotten.
	Offset, Horizon uint64
	// ResourceVersions are those up to which the log has held every change.
	ResourceVersions ResourceVersions
	// Pulls are in the order of the log.
	Pulls []Pull
}

// KnownPulls returns every pull that the Hub knows, retired ones too, in the order of change.
func (h *Hub) KnownPulls() []Pull {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.compactLocked()
	all := make([]Pull, 0, len(h.slots))
	for _, e := range h.slots {
		all = append(all, Pull{State: e.pull.state, Offset: e.pull.offset, Retired: e.pull.retired})
	}
	return all
}

// LogOffset returns the name of the shared log and the offset of the last entry that the Hub has got from it; both are zero
// before the first Load.
func (h *Hub) LogOffset() (name string, offset uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.logName, h.logOffset
}

// UseSharedLog says that there is a shared log. Until the first Load, a reader whose position is in that log waits.
func (h *Hub) UseSharedLog() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sharesLog = true
}

// Load takes everything that the shared log holds. It returns what the Hub knows and the log lacks, to be appended to it.
func (h *Hub) Load(contents Contents) (lacking []Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	first := h.logName == ""
	mixed := len(h.unlogged) > 0 || h.logName != contents.Log // readers may have states that are not in this log
	if h.logName != contents.Log {
		h.horizonOffset = 0
	}
	h.logName, h.logOffset, h.horizonOffset = contents.Log, contents.Offset, max(h.horizonOffset, contents.Horizon)
	for _, k := range h.latest {
		k.offset = 0
		if mixed {
			h.addUnloggedLocked(k, k.state.Revision)
		}
	}
	gap := first && h.knownSince.after(contents.ResourceVersions)
	logged := make(map[string]*pull.State, len(contents.Pulls))
	for _, p := range contents.Pulls {
		logged[p.State.ID] = p.State
		gap = h.takeLocked(p.State, p.Offset) && !p.Retired || gap
		k := h.latest[p.State.ID]
		switch {
		case p.Retired && k.offset > 0:
			h.retireLocked(p.State.ID)
		case k.retired && !p.Retired:
			lacking = append(lacking, Change{Retired: p.State.ID})
		}
	}
	if gap {
		h.versions = contents.ResourceVersions
		h.missLocked()
	}
	h.versions = h.versions.Max(contents.ResourceVersions)
	clear(h.unlogged)
	h.compactLocked()
	for _, e := range slices.Clone(h.slots) {
		id, k := e.pull.state.ID, e.pull
		switch {
		case k.offset > 0:
		case logged[id] != nil || k.state.Revision.Cluster > min(contents.ResourceVersions.Jobs, contents.ResourceVersions.Pods):
			h.addUnloggedLocked(k, k.state.Revision)
			lacking = append(lacking, Change{State: k.state})
			if k.retired {
				lacking = append(lacking, Change{Retired: id})
			}
		default:
			// The log has held it, and has retired and forgotten it since; or it was made by a replica that has never heard of it.
			// Either way its Job is gone. A log that has forgotten it rejects it.
			if !k.state.Phase.Final() {
				h.takeLocked(pull.LostState(k.state), 0)
				delete(h.unlogged, k)
			}
			lacking = append(lacking, Change{State: k.state}, Change{Retired: id})
			h.retireLocked(id)
			k.offset = max(1, contents.Horizon) // its offset is not known, only that it was no higher
		}
	}
	h.renewPositionsLocked()
	h.releaseCaughtUpLocked()
	return lacking
}

// renewPositionsLocked gives states that were published elsewhere, by this replica itself or in another shared log, their
// positions in this log, once it holds all of them. Otherwise readers that get such a state would return with a position that
// other replicas do not know, and get a snapshot each time. A reader that has a state has all states in the slots before it. So
// the position is true only if all pulls that come before it in the log have slots before it, too.
func (h *Hub) renewPositionsLocked() {
	if len(h.unlogged) > 0 || h.logName == "" {
		return
	}
	next := uint64(math.MaxUint64) // the lowest offset in the slots behind
	for _, e := range slices.Backward(h.slots) {
		k := e.pull
		if k.seq != e.seq {
			continue
		}
		if at := (pull.Position{Log: h.logName, Seq: k.offset}); k.offset < next && k.state.Position != at {
			placed := *k.state
			placed.Position = at
			k.state = &placed
			h.changed.Notify()
		}
		next = min(next, k.offset)
	}
}

// Follow takes the next entry of the shared log.
func (h *Hub) Follow(e Entry) {
	h.mu.Lock()
	defer h.mu.Unlock()
	lacked := len(h.unlogged) > 0
	h.logOffset = e.Offset
	h.versions = h.versions.Max(e.ResourceVersions)
	switch {
	case e.State != nil:
		if h.takeLocked(e.State, e.Offset) {
			// Another replica had not been able to append it until now.
			from := e.State.Revision.Cluster
			h.versions = ResourceVersions{min(h.versions.Jobs, from), min(h.versions.Pods, from)}
			h.missLocked()
		}
	case e.Retired != "":
		h.retireLocked(e.Retired)
	}
	if lacked {
		h.renewPositionsLocked()
	}
	h.releaseCaughtUpLocked()
}
