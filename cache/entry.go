package cache

import (
	"cmp"
	"slices"
	"time"

	"pullwatch/internal/pull"
)

// kind is one of the two lists.
type kind int

const (
	active kind = iota
	failed
	kinds
)

func (k kind) String() string { return [...]string{"active", "failed"}[k] }

func (k kind) sort(states []*pull.State) {
	[...]func([]*pull.State){pull.SortActive, pull.SortFailed}[k](states)
}

func (k kind) ttl() time.Duration { return [...]time.Duration{ActiveTTL, failedTTL}[k] }

// tier is where a list comes from that a read gets: see the package comment.
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

// entry is a cached list. It is immutable.
type entry struct {
	states []*pull.State
	// version is the snapshot's: the list shows every change up to that resourceVersion.
	version uint64
	// mutations is how many of this replica's mutations the list shows, whatever their versions: those that had returned
	// before it was loaded or taken from Local. It is 0 for a list from Redis.
	mutations uint64
	// asOf is when the list was taken. It orders lists of the same version.
	asOf time.Time
	// proven is when the list was last known to be true, at most asOf. The list's age counts from then.
	proven     time.Time
	freshUntil time.Time
	// watched is set when Run replaces the entry as soon as pulls change, which it does while this replica's watch is live.
	watched bool
	// from is the tier of reads that waited for the entry, again that of reads that find it in memory.
	from, again tier
	// stamp is the checksum of the list's content in Redis; empty when that is not known.
	stamp string
	// generation is that of Result. store sets it.
	generation uint64
}

// freshFor makes e fresh for d, or until its TTL ends if that is sooner.
func (e *entry) freshFor(d time.Duration, k kind) {
	e.freshUntil = e.proven.Add(k.ttl())
	if soon := time.Now().Add(d); soon.Before(e.freshUntil) {
		e.freshUntil = soon
	}
}

// newer reports whether e is newer than other. Entries with the same content are not: their ages were measured over the network,
// so the difference means nothing.
func (e *entry) newer(other *entry) bool {
	same := e.stamp != "" && e.stamp == other.stamp
	later := cmp.Or(e.asOf.Compare(other.asOf), cmp.Compare(e.version, other.version), cmp.Compare(e.mutations, other.mutations)) > 0
	return !same && later && e.version >= other.version && e.mutations >= other.mutations
}

// shows reports whether the list shows what is required.
func (e *entry) shows(required requirement) bool {
	return e.mutations >= required.mutations || e.version >= required.version
}

// fallbackTier returns the tier of e if nothing newer can be had.
func (e *entry) fallbackTier(k kind, required requirement, now time.Time) tier {
	if now.Sub(e.proven) > k.ttl() || !e.shows(required) {
		return tierStale
	}
	return tierMemory
}

// extended returns e, fresh for another memoryTTL. Until then no read looks for anything newer.
func (e *entry) extended(k kind) *entry {
	now := time.Now()
	longer := *e
	longer.watched, longer.freshUntil = false, now.Add(memoryTTL)
	longer.from = e.fallbackTier(k, requirement{}, now)
	longer.again = longer.from
	return &longer
}

// both are the two lists as they were found together. One that was not found is nil.
type both [kinds]*entry

// fresh reports whether a read may have e. While this replica watches, only entries that Run replaces are fresh.
func (l *Lists) fresh(e *entry, required requirement) bool {
	return e != nil && e.shows(required) && time.Now().Before(e.freshUntil) && e.watched == l.local.Watching()
}

func (l *Lists) allFresh(found both, required requirement) bool {
	for _, e := range found {
		if !l.fresh(e, required) {
			return false
		}
	}
	return true
}

func (l *Lists) cached() both {
	var found both
	for k := range kinds {
		found[k] = l.memory[k].Load()
	}
	return found
}

// store puts what was found into memory, unless something newer is there.
func (l *Lists) store(found both) {
	for k, e := range found {
		for e != nil {
			old := l.memory[k].Load()
			l.setGeneration(e, old)
			if old != nil && old.newer(e) || l.memory[k].CompareAndSwap(old, e) {
				break
			}
		}
	}
}

// setGeneration gives e the generation of old if it holds the same pulls, and a new one otherwise.
func (l *Lists) setGeneration(e, old *entry) {
	switch {
	case old != nil && slices.Equal(e.states, old.states):
		e.generation, e.states = old.generation, old.states
	case e.generation == 0:
		e.generation = l.generations.Add(1)
	}
}

// expireWatched makes entries that Run replaced not fresh.
func (l *Lists) expireWatched() {
	for k, e := range l.cached() {
		if e != nil && e.watched {
			old := *e
			old.watched, old.freshUntil = false, time.Time{}
			l.memory[k].CompareAndSwap(e, &old)
		}
	}
}

// extend makes the lists in memory fresh for another memoryTTL, because nothing newer can be had. Without evenStale it leaves out
// those that are older than their time to live.
func (l *Lists) extend(evenStale bool) both {
	var found both
	for k, e := range l.cached() {
		if e == nil {
			continue
		}
		if e = e.extended(kind(k)); evenStale || e.from != tierStale {
			found[k] = e
		}
	}
	l.store(found)
	return found
}
