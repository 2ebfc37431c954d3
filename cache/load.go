package cache

import (
	"context"
	"time"

	"pullwatch/internal/usererr"
)

// leaseTries bounds how often a load waits for another replica's.
const leaseTries = 3

// loaded is what a load comes to.
type loaded struct {
	found both
	err   error
}

// failure is a load that failed. Until retryAt it is the result of every load of which no more is required.
type failure struct {
	required requirement
	err      error
	retryAt  time.Time
}

// load gets the lists from Kubernetes, or from Redis once another replica has got them from there.
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
			jobs: snapshot.jobs(k), version: snapshot.Version, mutations: mutations,
			asOf: began, proven: began, from: tierKubernetes,
		}
		if l.shared == nil {
			found[k].freshFor(k.ttl(), k)
		} else {
			found[k].freshFor(memoryTTL, k)
		}
	}
	l.keep(found)
	if l.shared != nil {
		snapshot.AsOf, snapshot.Proven = began, began
		l.writes.put(write{snapshot: &snapshot, token: token})
	}
	return found, nil
}

// lease makes this replica the one that loads, and returns the token of that; or it waits until another one has
// loaded, and returns what that found. It returns neither when there is nobody to wait for any more.
func (l *Lists) lease(ctx context.Context, required requirement) (token string, found both) {
	if l.shared == nil {
		return "", both{}
	}
	for range leaseTries {
		token, position, err := l.shared.acquire(ctx)
		if err != nil {
			return "", both{}
		}
		// Another one may have loaded between this replica's last look and now.
		found, err := l.takeShared()
		if l.allFresh(found, required) {
			l.release(token)
			return "", found
		}
		if token != "" {
			return token, both{}
		}
		if err != nil || l.shared.awaitFill(ctx, position) != nil {
			return "", both{}
		}
	}
	return "", both{}
}

// release gives back a lease without having filled anything.
func (l *Lists) release(token string) {
	if token != "" {
		l.writes.put(write{token: token})
	}
}
