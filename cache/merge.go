package cache

import "pullwatch/internal/pull"

// merged returns a list that is newer than all that this replica knows by itself, together with what this replica knows to be
// newer still: mutations that have returned. Where both know a pull, the later state decides.
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
		case known[state.ID] != nil: // else it has ended, or is gone
			all = append(all, known[state.ID])
		}
	}
	for id, state := range known {
		if !listed[id] && state.Revision.Cluster > e.version { // else it was gone by then
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
