package sharedlog

import (
	"pullwatch/internal/feed"
	"pullwatch/internal/pull"
)

// pending holds changes: of each pull the latest state, and whether it is retired. The pulls are in the order in which they
// were added, so that none waits for ever behind others that change faster. The zero pending is empty and ready for use.
type pending struct {
	order   []string
	jobs    map[string]*pull.State
	retired map[string]bool
}

func (p *pending) addState(job *pull.State) {
	if p.jobs == nil {
		p.jobs, p.retired = map[string]*pull.State{}, map[string]bool{}
	}
	if known, held := p.jobs[job.ID]; !held {
		p.order = append(p.order, job.ID)
	} else if known != nil && !job.Supersedes(known) {
		return
	} else if known != nil && !job.CreatedAt.Equal(known.CreatedAt) {
		delete(p.retired, job.ID) // its name is used again
	}
	p.jobs[job.ID] = job
}

func (p *pending) addRetired(id string) {
	if p.jobs == nil {
		p.jobs, p.retired = map[string]*pull.State{}, map[string]bool{}
	}
	if _, held := p.jobs[id]; !held {
		p.order = append(p.order, id)
		p.jobs[id] = nil
	}
	p.retired[id] = true
}

func (p *pending) add(c feed.Change) {
	if c.Job != nil {
		p.addState(c.Job)
	} else {
		p.addRetired(c.Retired)
	}
}

func (p *pending) empty() bool { return len(p.order) == 0 }

// holds reports whether there is a change of a pull.
func (p *pending) holds(id string) bool {
	_, held := p.jobs[id]
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
	if job := p.jobs[id]; job != nil {
		changes = append(changes, feed.Change{Job: job})
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
		delete(p.jobs, id)
		delete(p.retired, id)
	}
	p.order = append([]string(nil), p.order[n:]...)
	return changes
}
