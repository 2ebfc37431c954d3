package cache

import (
	"context"
	"time"
)

// refresh looks for the lists in all tiers but Kubernetes. What it returns may be missing or not fresh.
func (l *Lists) refresh(required requirement) both {
	// Another refresh may have stored them since the reader looked in memory.
	if found := l.cached(); l.allFresh(found, required) {
		return found
	}
	if l.local.Watching() {
		found, _ := l.takeLocal()
		return found
	}
	found, err := l.takeRedis()
	if !l.allFresh(found, required) && l.local.Current() {
		found, _ = l.takeLocal()
		return found
	}
	if err != nil {
		// Redis is away. Then a list from memory may be older than memoryTTL, but not older than its time to live.
		return l.extend(false)
	}
	return found
}

// takeLocal stores in memory what this replica knows already. That shows every mutation through this replica that has returned.
// It need not show one of a lower version that has not.
func (l *Lists) takeLocal() (both, Snapshot) {
	began, watching := time.Now(), l.local.Watching()
	mutations := l.required.Load().mutations // before the snapshot
	snapshot := l.local.Snapshot()
	var found both
	for k := range kinds {
		found[k] = &entry{
			states: snapshot.states(k), version: snapshot.Version, mutations: mutations,
			asOf: snapshot.AsOf, proven: snapshot.Proven, watched: watching, from: tierWatch,
		}
		if watching {
			found[k].freshFor(k.ttl(), k)
		} else {
			found[k].freshFor(memoryTTL, k)
		}
	}
	l.metrics.loaded(tierWatch, began)
	l.store(found)
	return found, snapshot
}

// takeReturned stores in memory what this replica knows already, if the lists there lack a mutation that has returned and are
// not newer otherwise. Reads tell the age of these lists as it is.
func (l *Lists) takeReturned() {
	mutations := l.required.Load().mutations // before the snapshot
	snapshot := l.local.Snapshot()
	var found both
	for k, e := range l.cached() {
		if e == nil || e.mutations >= mutations || e.version > snapshot.Version {
			return
		}
		found[k] = &entry{
			states: snapshot.states(kind(k)), version: snapshot.Version, mutations: mutations,
			asOf: snapshot.AsOf, proven: snapshot.Proven, from: tierWatch,
		}
	}
	l.store(found)
}

// takeRedis stores in memory what is in Redis, however old it is.
func (l *Lists) takeRedis() (both, error) {
	var found both
	if l.redis == nil {
		return found, nil
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(l.life, l.redis.timeout)
	defer cancel()
	known := l.cached()
	found, unreadable, err := l.redis.read(ctx, known)
	if err != nil {
		return both{}, err
	}
	for k, reason := range unreadable {
		l.metrics.unreadable[k].Inc()
		l.logger.Warn("a list of pulls in Redis cannot be read and is removed", "list", k.String(), "error", reason)
		if err := l.redis.remove(ctx, k); err != nil {
			l.logger.Debug("a list of pulls that cannot be read stays in Redis", "list", k.String(), "error", err)
		}
	}
	if found[active] != nil && found[failed] != nil {
		l.metrics.loaded(tierRedis, began)
	}
	for k, e := range found {
		if e == nil || known[k] == nil || !known[k].newer(e) {
			continue
		}
		// Memory has what was loaded while Redis was away. It could not be written there, and counts until its time to live ends.
		if longer := known[k].extended(kind(k)); longer.from != tierStale {
			found[k] = longer
		}
	}
	l.store(found)
	return found, nil
}
