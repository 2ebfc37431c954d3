package sharedlog

import (
	"pullwatch/internal/feed"
	"pullwatch/internal/pull"
)

// pending is what waits to be appended to the shared log: of each pull its latest state, in the order in which the pulls
// began to wait, so that none waits for ever behind others that change faster. The zero pending is empty and ready for use.
type pending struct {
	order []string
	jobs  map[string]*pull.Job
	ends  map[string]bool
}

func (p *pending) state(job *pull.Job) {
	if p.jobs == nil {
		p.jobs, p.ends = map[string]*pull.Job{}, map[string]bool{}
	}
	if known, waits := p.jobs[job.ID]; !waits {
		p.order = append(p.order, job.ID)
	} else if known != nil && !job.Supersedes(known) {
		return
	} else if known != nil && !job.CreatedAt.Equal(known.CreatedAt) {
		delete(p.ends, job.ID) // its name is used again
	}
	p.jobs[job.ID] = job
}

func (p *pending) gone(id string) {
	if p.jobs == nil {
		p.jobs, p.ends = map[string]*pull.Job{}, map[string]bool{}
	}
	if _, waits := p.jobs[id]; !waits {
		p.order = append(p.order, id)
		p.jobs[id] = nil
	}
	p.ends[id] = true
}

func (p *pending) add(c feed.Change) {
	if c.Job != nil {
		p.state(c.Job)
	} else {
		p.gone(c.Retired)
	}
}

func (p *pending) empty() bool { return len(p.order) == 0 }

// holds reports whether something of a pull waits.
func (p *pending) holds(id string) bool {
	_, waits := p.jobs[id]
	return waits
}

// all returns what is to be appended for all pulls, and removes nothing.
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
	if p.ends[id] {
		changes = append(changes, feed.Change{Retired: id})
	}
	return changes
}

// take removes the first pulls, at most n, and returns what is to be appended for them.
func (p *pending) take(n int) (changes []feed.Change) {
	n = min(n, len(p.order))
	for _, id := range p.order[:n] {
		changes = append(changes, p.changes(id)...)
		delete(p.jobs, id)
		delete(p.ends, id)
	}
	p.order = append([]string(nil), p.order[n:]...)
	return changes
}
