package sharedlog

import (
	"pullwatch/internal/feed"
	"pullwatch/internal/pull"
)

// pending holds changes: the latest state of each pull, and whether the pull is retired. Pulls stay in the order in which they
// were added, so that none waits forever behind others that change faster. The zero pending is empty and ready for use.
type pending struct {
	order   []string
	states  map[string]*pull.State
	retired map[string]bool
}

func (p *pending) addState(state *pull.State) {
	if p.states == nil {
		p.states, p.retired = map[string]*pull.State{}, map[string]bool{}
	}
	if known, held := p.states[state.ID]; !held {
		p.order = append(p.order, state.ID)
	} else if known != nil && !state.Supersedes(known) {
		return
	} else if known != nil && !state.CreatedAt.Equal(known.CreatedAt) {
		delete(p.retired, state.ID) // its name is used again
	}
	p.states[state.ID] = state
}

func (p *pending) addRetired(id string) {
	if p.states == nil {
		p.states, p.retired = map[string]*pull.State{}, map[string]bool{}
	}
	if _, held := p.states[id]; !held {
		p.order = append(p.order, id)
		p.states[id] = nil
	}
	p.retired[id] = true
}

func (p *pending) add(c feed.Change) {
	if c.State != nil {
		p.addState(c.State)
	} else {
		p.addRetired(c.Retired)
	}
}

func (p *pending) empty() bool { return len(p.order) == 0 }

// holds reports whether there is a change of this pull.
func (p *pending) holds(id string) bool {
	_, held := p.states[id]
	return held
}

// all returns all changes.
func (p *pending) all() (changes []feed.Change) {
	for _, id := range p.order {
		changes = append(changes, p.changes(id)...)
	}
	return changes
}

func (p *pending) changes(id string) (changes []feed.Change) {
	if state := p.states[id]; state != nil {
		changes = append(changes, feed.Change{State: state})
	}
	if p.retired[id] {
		changes = append(changes, feed.Change{Retired: id})
	}
	return changes
}

// take removes the first pulls, at most n, and returns their changes.
func (p *pending) take(n int) (changes []feed.Change) {
	n = min(n, len(p.order))
	for _, id := range p.order[:n] {
		changes = append(changes, p.changes(id)...)
		delete(p.states, id)
		delete(p.retired, id)
	}
	p.order = append([]string(nil), p.order[n:]...)
	return changes
}
