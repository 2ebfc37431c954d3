package feed

import (
	"slices"

	"pullwatch/internal/pull"
)

// What a Stream does with its Hub.

// states returns every pull that the Hub knows, in the order of change.
func (h *Hub) states() []state {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.compact()
	all := make([]state, 0, len(h.log))
	for _, e := range h.log {
		all = append(all, state{job: e.state.job, place: e.state.place, gone: e.state.gone})
	}
	return all
}

// sharedPlace returns the name of the shared log and how far it has been taken.
func (h *Hub) sharedPlace() (log string, place uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.shared, h.place
}

// load takes all that the shared log holds, and returns what it lacks of what the Hub knows.
func (h *Hub) load(c *contents) (lacking []operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	mixed := len(h.unplaced) > 0 || h.shared != c.log // readers may have what stands nowhere in this log
	for _, k := range h.latest {
		k.place = 0
		if mixed {
			h.unplaceLocked(k, k.job.Revision)
		}
	}
	if h.shared != c.log {
		h.horizonPlace = 0
	}
	h.shared, h.place, h.horizonPlace = c.log, c.place, max(h.horizonPlace, c.horizon)
	held := make(map[string]bool, len(c.states))
	for _, s := range c.states {
		held[s.job.ID] = true
		h.take(s.job, s.place)
		k := h.latest[s.job.ID]
		switch {
		case s.gone && k.place > 0:
			h.retire(s.job.ID)
		case k.gone && !s.gone:
			lacking = append(lacking, operation{kind: entryGone, id: s.job.ID})
		}
	}
	h.marked = h.marked.raised(c.marks)
	clear(h.unplaced)
	h.compact()
	for _, e := range slices.Clone(h.log) {
		id, k := e.state.job.ID, e.state
		switch {
		case k.place > 0:
		case held[id] || k.job.Revision.Cluster > min(c.marks.jobs, c.marks.pods):
			h.unplaceLocked(k, k.job.Revision)
			lacking = append(lacking, operation{kind: entryState, job: k.job})
			if k.gone {
				lacking = append(lacking, operation{kind: entryGone, id: id})
			}
		default:
			// The marks say that the log held it, so it has been retired and forgotten since: its Job is gone.
			if !k.job.Phase.Final() {
				h.take(pull.LostJob(k.job), 0)
				delete(h.unplaced, k)
			}
			h.retire(id)
			k.place = max(1, c.horizon) // where it stood is not known, only that it was no later
		}
	}
	h.releaseReachedLocked()
	return lacking
}

// apply takes what was published, and stands nowhere in the shared log.
func (h *Hub) apply(o operation) {
	if o.kind == entryState {
		h.Publish(o.job)
	} else {
		h.Retire(o.id)
	}
}

// follow takes the next entry of the shared log.
func (h *Hub) follow(r record) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.place = r.place
	switch r.kind {
	case entryState:
		h.take(r.job, r.place)
	case entryGone:
		h.retire(r.id)
	case entryBeat:
		h.marked = h.marked.raised(r.marks)
	}
	h.releaseReachedLocked()
}
