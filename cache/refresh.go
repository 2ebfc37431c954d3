package cache

import (
	"context"
	"time"
)

// refresh finds the lists wherever they are at hand: everywhere but in Kubernetes. What it returns may be missing or
// not be fresh.
func (l *Lists) refresh(required requirement) both {
	// Whoever began this may have looked at memory before a refresh that has just ended filled it.
	if found := l.remembered(); l.allFresh(found, required) {
		return found
	}
	if l.local.Watching() {
		found, _ := l.takeLocal()
		return found
	}
	found, err := l.takeShared()
	if !l.allFresh(found, required) && l.local.Current() {
		found, _ = l.takeLocal()
		return found
	}
	if err != nil {
		// Redis is away: what memory has may be older than usual, but not older than a list may be that nobody
		// refreshes.
		return l.extend(false)
	}
	return found
}

// takeLocal takes into memory what this replica knows by itself. That shows every mutation through this replica that has
// returned, but not one of a lower version that is still under way.
func (l *Lists) takeLocal() (both, Snapshot) {
	began, watching := time.Now(), l.local.Watching()
	mutations := l.required.Load().mutations // before the snapshot
	snapshot := l.local.Snapshot()
	var found both
	for k := range kinds {
		found[k] = &entry{
			jobs: snapshot.jobs(k), version: snapshot.Version, mutations: mutations,
			asOf: snapshot.AsOf, proven: snapshot.Proven, kept: watching, from: tierWatch,
		}
		if watching {
			found[k].freshFor(k.ttl(), k)
		} else {
			found[k].freshFor(memoryTTL, k)
		}
	}
	l.metrics.loaded(tierWatch, began)
	l.keep(found)
	return found, snapshot
}

// takeReturned takes into memory what this replica knows by itself if memory lacks a mutation that has returned, and has
// nothing newer. It is as old as it says.
func (l *Lists) takeReturned() {
	mutations := l.required.Load().mutations // before the snapshot
	snapshot := l.local.Snapshot()
	var found both
	for k, e := range l.remembered() {
		if e == nil || e.mutations >= mutations || e.version > snapshot.Version {
			return
		}
		found[k] = &entry{
			jobs: snapshot.jobs(kind(k)), version: snapshot.Version, mutations: mutations,
			asOf: snapshot.AsOf, proven: snapshot.Proven, from: tierWatch,
		}
	}
	l.keep(found)
}

// takeShared takes into memory what Redis has, however old.
func (l *Lists) takeShared() (both, error) {
	var found both
	if l.shared == nil {
		return found, nil
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(l.life, l.shared.patience)
	defer cancel()
	known := l.remembered()
	found, unreadable, err := l.shared.read(ctx, known)
	if err != nil {
		return both{}, err
	}
	for k, reason := range unreadable {
		l.metrics.unreadable[k].Inc()
		l.log.Warn("a list of pulls in Redis cannot be read and is removed", "list", k.String(), "error", reason)
		if err := l.shared.remove(ctx, k); err != nil {
			l.log.Debug("a list of pulls that cannot be read stays in Redis", "list", k.String(), "error", err)
		}
	}
	if found[active] != nil && found[failed] != nil {
		l.metrics.loaded(tierRedis, began)
	}
	for k, e := range found {
		if e == nil || known[k] == nil || !known[k].newer(e) {
			continue
		}
		// What was loaded while Redis was away could not be written there. It serves for as long as it may.
		if longer := known[k].extended(kind(k)); longer.from != tierStale {
			found[k] = longer
		}
	}
	l.keep(found)
	return found, nil
}
