package cache

import "pullwatch/internal/pull"

// merged returns the list of e with what this replica knows to be newer: its mutations that have returned. Of a pull that both
// have, the later state counts. It is for an e that, as a whole, is newer than what this replica knows.
func (l *Lists) merged(e *entry, k kind) *entry {
	snapshot := l.local.Snapshot()
	known := map[string]*pull.State{}
	for _, state := range snapshot.states(k) {
		known[state.ID] = state
	}
	var all []*pull.State
	listed := map[string]bool{}
	for _, state := range e.states {
		listed[state.ID] = true
		last := l.local.Latest(state.ID)
		switch {
		case last == nil || state.Supersedes(last):
			all = append(all, state)
		case known[state.ID] != nil: // else it is in this list no longer
			all = append(all, known[state.ID])
		}
	}
	for id, state := range known {
		if !listed[id] && state.Revision.Cluster > e.version { // else e, which is newer, does not list it any more
			all = append(all, state)
		}
	}
	k.sort(all)
	newer := *e
	newer.states, newer.generation = all, 0
	l.setGeneration(&newer, l.lastMerged[k].Load())
	l.lastMerged[k].Store(&newer)
	return &newer
}
