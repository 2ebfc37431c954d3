package cache

import (
	"cmp"
	"slices"
	"time"

	"pullwatch/internal/pull"
)

// kind is which of the lists.
type kind int

const (
	active kind = iota
	failed
	kinds
)

func (k kind) String() string { return [...]string{"active", "failed"}[k] }

func (k kind) ttl() time.Duration { return [...]time.Duration{ActiveTTL, failedTTL}[k] }

// tier is where an answer comes from.
type tier int

const (
	tierMemory tier = iota
	tierRedis
	tierWatch
	tierKubernetes
	tierStale
	tiers
)

func (t tier) String() string {
	return [...]string{"memory", "redis", "watch", "kubernetes", "stale"}[t]
}

// entry is a list as it was once found. It is not changed.
type entry struct {
	jobs []*pull.Job
	// version is the snapshot's: the list shows every change up to it.
	version uint64
	// mutations is how many of this replica's mutations the list is known to show, whatever their versions: those that had
	// returned when the list was read from where they are seen at once. It is 0 for a list from Redis.
	mutations uint64
	// asOf is when the list was taken. It orders lists of the same version.
	asOf time.Time
	// proven is when the list was last known to be true, at most asOf. The list's age counts from then.
	proven     time.Time
	freshUntil time.Time
	// kept is set when Run replaces the entry as the pulls change, for as long as this replica's watch is live.
	kept bool
	// from is the tier of those who waited for the entry, again that of those who find it in memory.
	from, again tier
	// stamp names the list's content in Redis; it is empty when that is not known.
	stamp string
	// generation is what Result says of it. keep sets it.
	generation uint64
}

// freshFor lets e be answered with for at most d, while it is no older than a list of its kind may be.
func (e *entry) freshFor(d time.Duration, k kind) {
	e.freshUntil = e.proven.Add(k.ttl())
	if soon := time.Now().Add(d); soon.Before(e.freshUntil) {
		e.freshUntil = soon
	}
}

// newer reports whether e is to be preferred to other. Of the same content it is not: how old that is was measured
// over the network, so the difference means nothing.
func (e *entry) newer(other *entry) bool {
	same := e.stamp != "" && e.stamp == other.stamp
	later := cmp.Or(e.asOf.Compare(other.asOf), cmp.Compare(e.version, other.version), cmp.Compare(e.mutations, other.mutations)) > 0
	return !same && later && e.version >= other.version && e.mutations >= other.mutations
}

// shows reports whether the list shows what is required.
func (e *entry) shows(required requirement) bool {
	return e.mutations >= required.mutations || e.version >= required.version
}

// lateTier is the tier of an answer with e when nothing newer could be had.
func (e *entry) lateTier(k kind, required requirement, now time.Time) tier {
	if now.Sub(e.proven) > k.ttl() || !e.shows(required) {
		return tierStale
	}
	return tierMemory
}

// extended returns e, to be answered with for another moment, within which nobody looks for anything newer.
func (e *entry) extended(k kind) *entry {
	now := time.Now()
	longer := *e
	longer.kept, longer.freshUntil = false, now.Add(memoryTTL)
	longer.from = e.lateTier(k, requirement{}, now)
	longer.again = longer.from
	return &longer
}

// both are the lists as they were found together; nil for one that was not found.
type both [kinds]*entry

// fresh reports whether e may be answered with. While this replica watches, that is only what Run keeps.
func (l *Lists) fresh(e *entry, required requirement) bool {
	return e != nil && e.shows(required) && time.Now().Before(e.freshUntil) && e.kept == l.local.Watching()
}

func (l *Lists) allFresh(found both, required requirement) bool {
	for _, e := range found {
		if !l.fresh(e, required) {
			return false
		}
	}
	return true
}

func (l *Lists) remembered() both {
	var found both
	for k := range kinds {
		found[k] = l.memory[k].Load()
	}
	return found
}

// keep puts what was found into memory, unless something newer is there.
func (l *Lists) keep(found both) {
	for k, e := range found {
		for e != nil {
			old := l.memory[k].Load()
			l.generate(e, old)
			if old != nil && old.newer(e) || l.memory[k].CompareAndSwap(old, e) {
				break
			}
		}
	}
}

// generate gives e the generation of old if it holds the same pulls, and a new one otherwise.
func (l *Lists) generate(e, old *entry) {
	switch {
	case old != nil && slices.Equal(e.jobs, old.jobs):
		e.generation, e.jobs = old.generation, old.jobs
	case e.generation == 0:
		e.generation = l.generations.Add(1)
	}
}

// unkeep ends the freshness of what Run kept.
func (l *Lists) unkeep() {
	for k, e := range l.remembered() {
		if e != nil && e.kept {
			old := *e
			old.kept, old.freshUntil = false, time.Time{}
			l.memory[k].CompareAndSwap(e, &old)
		}
	}
}

// extend lets memory answer for another moment, for want of anything newer. Unless evenStale, it leaves lists alone
// that are older than their time to live.
func (l *Lists) extend(evenStale bool) both {
	var found both
	for k, e := range l.remembered() {
		if e == nil {
			continue
		}
		if e = e.extended(kind(k)); evenStale || e.from != tierStale {
			found[k] = e
		}
	}
	l.keep(found)
	return found
}
