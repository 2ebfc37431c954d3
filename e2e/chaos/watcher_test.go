package chaos

import (
	"context"
	"fmt"
	"slices"
	"time"
)

const (
	// watchInterval is how long a watcher waits between an answer and the next query.
	watchInterval = 300 * time.Millisecond
	// answerLimit is how long an answer may take, whatever is broken.
	answerLimit = 5 * time.Second
	// unmarked is how old a list may be that does not say that it is stale: 5 s are promised, and a busy machine takes some. A
	// list has to be wrong for newsTime: at times this test learns the truth later than the replica.
	unmarked = 6 * time.Second
	newsTime = 2 * time.Second
	// knownEverywhere is the age at which all replicas know a pull.
	knownEverywhere = 8 * time.Second
	// leaseNews is how long a replica that was stopped, or cut off, may say that it leads while another holds the Lease. It checks
	// the Lease before it writes anything.
	leaseNews = 15 * time.Second
)

// watcher asks one replica for its lists and whether it leads, again and again.
type watcher struct {
	w *world
	r *replica
	// since has, for each way to be wrong, when the first answer came since which all were wrong in that way.
	since map[wrong]time.Time
}

// wrong is what is wrong with a list.
type wrong struct{ id, what string }

func (p *watcher) watch(ctx context.Context) {
	for pass(ctx, watchInterval) {
		if !p.r.isReady(ctx) {
			continue
		}
		p.askLists(ctx)
		p.askLeads(ctx)
	}
}

func (p *watcher) askLists(ctx context.Context) {
	m, asked := p.r.now(), time.Now()
	l, err := askLists(ctx, m.process)
	took := time.Since(asked)
	if ctx.Err() != nil || !p.r.settled(m) {
		return
	}
	p.w.counts.add("lists", 1)
	if err == nil && took > answerLimit {
		err = errSlow
	}
	if err != nil {
		p.w.verdict.add(violation{
			kind: "a list was not answered",
			text: fmt.Sprintf("replica %d, asked %s, after %.2f s: %v", p.r.index, p.w.clock(asked), took.Seconds(), err),
		})
		return
	}
	if l.stale {
		p.w.counts.add("lists marked stale", 1)
		p.since = nil
		return
	}
	p.check(l, asked)
}

// check compares a list that does not say that it is stale with the truth.
func (p *watcher) check(l lists, asked time.Time) {
	long := asked.Add(-unmarked)
	now := map[wrong]time.Time{}
	note := func(what string, so func(*job) bool) {
		for _, id := range p.w.truth.some(so) {
			key := wrong{id, what}
			now[key] = asked
			if first, known := p.since[key]; known {
				now[key] = first
			}
		}
	}
	note("lists what has ended", func(j *job) bool {
		return j.final != "" && j.ended.Before(long) && slices.Contains(l.active, j.id) && !p.again(j)
	})
	note("does not list what is active", func(j *job) bool {
		return j.final == "" && j.seen.Before(long) && !slices.Contains(l.active, j.id)
	})
	p.since = now
	for key, first := range now {
		if asked.Sub(first) > newsTime {
			p.w.verdict.add(violation{
				kind: "a list was old and did not say so", id: key.id,
				text: fmt.Sprintf("replica %d, asked %s, %s for longer than %s", p.r.index, p.w.clock(asked), key.what, unmarked+newsTime),
			})
		}
	}
}

// again reports whether there is another Job of the same name, made later. The truth is locked.
func (p *watcher) again(old *job) bool {
	return slices.ContainsFunc(p.w.truth.jobs, func(j *job) bool { return j.id == old.id && j != old && j.seen.After(old.seen) })
}

// askLeads checks that a replica that says that it leads holds the Lease.
func (p *watcher) askLeads(ctx context.Context) {
	m, asked := p.r.now(), time.Now()
	leads, err := p.r.gauge(ctx, "pullwatch_leader")
	if err != nil || leads == 0 || !p.r.settled(m) {
		return
	}
	held := p.w.truth.holder()
	if held.holder == "" || held.since.After(asked.Add(-leaseNews)) || p.r.holds(held.holder) {
		return
	}
	p.w.verdict.add(violation{
		kind: "a replica leads without the Lease",
		text: fmt.Sprintf("replica %d, asked %s; %s holds it since %s", p.r.index, p.w.clock(asked), held.holder, p.w.clock(held.since)),
	})
}
