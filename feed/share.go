package feed

import "pullwatch/pull"

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

// load takes all that the shared log holds.
func (h *Hub) load(c *contents) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, k := range h.latest {
		k.place = 0
	}
	if h.shared != c.log {
		h.horizonPlace = 0
	}
	h.shared, h.place, h.horizonPlace = c.log, c.place, max(h.horizonPlace, c.horizon)
	held := make(map[string]bool, len(c.states))
	for _, s := range c.states {
		held[s.job.ID] = true
		h.take(s.job, s.place)
		if s.gone {
			h.retire(s.job.ID)
		}
	}
	h.jobs, h.pods = max(h.jobs, c.marks.jobs), max(h.pods, c.marks.pods)
	for id, k := range h.latest {
		if held[id] || k.job.Revision.Cluster > min(c.marks.jobs, c.marks.pods) {
			continue
		}
		// The log held it and has forgotten it since: its Job is gone.
		if !k.job.Phase.Final() {
			h.take(pull.LostJob(k.job), 0)
		}
		h.retire(id)
		k.place = max(1, c.horizon) // where it stood is not known, only that it was no later
	}
}

// lacking returns the states that are not known to be in the shared log.
func (h *Hub) lacking() (states []state) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, k := range h.latest {
		if k.place == 0 {
			states = append(states, state{job: k.job, gone: k.gone})
		}
	}
	return states
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
		h.jobs, h.pods = max(h.jobs, r.marks.jobs), max(h.pods, r.marks.pods)
	}
}
