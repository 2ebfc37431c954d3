package cache

import (
	"context"
	"time"

	"pullwatch/internal/usererr"
)

// leaseTries bounds how often a load waits for another replica's load.
const leaseTries = 3

// loaded is the result of a load.
type loaded struct {
	found both
	err   error
}

// failure is a load that failed. Until retryAt it is also the result of loads that require no more than it did.
type failure struct {
	required requirement
	err      error
	retryAt  time.Time
}

// load gets the lists from Kubernetes, or from Redis if another replica has just loaded them.
func (l *Lists) load(required requirement) loaded {
	found, err := l.loadOnce(required)
	if err != nil {
		l.extend(true)
		return loaded{err: err}
	}
	return loaded{found: found}
}

func (l *Lists) loadOnce(required requirement) (both, error) {
	ctx, cancel := context.WithTimeout(l.life, loadTimeout)
	defer cancel()
	if l.away != nil && l.away() {
		return both{}, usererr.New(usererr.Unavailable,
			"Kubernetes does not answer and the list of pulls is not cached; it is tried again within seconds")
	}
	if last := l.lastFailure.Load(); last != nil && last.required.mutations >= required.mutations && time.Now().Before(last.retryAt) {
		return both{}, last.err
	}
	token, found := l.lease(ctx, required)
	if l.allFresh(found, required) {
		return found, nil
	}
	began, mutations := time.Now(), l.required.Load().mutations // both before the lists are read
	snapshot, err := l.source.Load(ctx)
	if err != nil {
		l.release(token)
		l.lastFailure.Store(&failure{required, err, time.Now().Add(retryPause)})
		return both{}, err
	}
	l.metrics.loaded(tierKubernetes, began)
	for k := range kinds {
		found[k] = &entry{
			states: snapshot.states(k), version: snapshot.Version, mutations: mutations,
			asOf: began, proven: began, from: tierKubernetes,
		}
		if l.redis == nil {
			found[k].freshFor(k.ttl(), k)
		} else {
			found[k].freshFor(memoryTTL, k)
		}
	}
	l.store(found)
	if l.redis != nil {
		snapshot.AsOf, snapshot.Proven = began, began
		l.writes.put(write{snapshot: &snapshot, token: token})
	}
	return found, nil
}

// lease acquires the lease to load and returns its token. If another replica has it, lease waits for that one's load and returns
// what it found. It returns neither if Redis fails, or if several other replicas have failed to load.
func (l *Lists) lease(ctx context.Context, required requirement) (token string, found both) {
	if l.redis == nil {
		return "", both{}
	}
	for range leaseTries {
		token, lastFill, err := l.redis.acquire(ctx)
		if err != nil {
			return "", both{}
		}
		// Another replica may have loaded since this one last looked in Redis.
		found, err := l.takeRedis()
		if l.allFresh(found, required) {
			l.release(token)
			return "", found
		}
		if token != "" {
			return token, both{}
		}
		if err != nil || l.redis.awaitFill(ctx, lastFill) != nil {
			return "", both{}
		}
	}
	return "", both{}
}

// release releases a lease after a load that failed.
func (l *Lists) release(token string) {
	if token != "" {
		l.writes.put(write{token: token})
	}
}
