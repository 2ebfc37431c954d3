package main

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"pullwatch/cache"
	"pullwatch/internal/feed"
	"pullwatch/internal/feed/sharedlog"
	"pullwatch/kube"
	"pullwatch/resolvers"
)

// pullFeed is what all parts of a replica know of pulls: a feed.Hub by itself, or a sharedlog.Stream that shares it.
type pullFeed interface {
	kube.Feed
	kube.Known
	resolvers.Updates
}

// knowledge is what this replica knows by itself, as the cache of lists wants it.
type knowledge struct {
	*feed.Hub
	watch  *kube.Watch
	stream *sharedlog.Stream // nil without Redis
	health *kube.Health      // of what watch asks
}

// Watching reports whether this replica watches the cluster.
func (k knowledge) Watching() bool { return k.watch.Live() }

// Current reports whether what happens in the cluster arrives at this replica.
func (k knowledge) Current() bool {
	return k.watch.Live() || (k.stream != nil && k.stream.Live() && time.Since(k.stream.Proven()) < cache.ActiveTTL)
}

// Snapshot returns the lists as they are known.
func (k knowledge) Snapshot() cache.Snapshot {
	// All before the lists are taken, so that they are no older than is said of them.
	version, _ := k.ResourceVersions()
	proven, watching := k.proven(), k.watch.Live()
	asOf := time.Now()
	if !watching {
		asOf = proven
	}
	return cache.Snapshot{Active: k.Active(), Failed: k.Failed(), Version: version, AsOf: asOf, Proven: proven}
}

// proven returns when what the Hub knows was last known to be true. While the Hub learns from the shared log, that is what
// the log tells, also on the replica that watches: what its watch has told may not have come back from there.
func (k knowledge) proven() time.Time {
	if k.stream != nil {
		proven := k.stream.Proven()
		if !k.watch.Live() || k.stream.Live() && !proven.IsZero() {
			return proven
		}
	}
	return k.health.Asked()
}

// source loads the lists from the cluster.
type source struct{ reader *kube.Reader }

// Load implements cache.Source.
func (s source) Load(ctx context.Context) (snapshot cache.Snapshot, err error) {
	snapshot.Active, snapshot.Failed, snapshot.Version, err = s.reader.Load(ctx)
	return snapshot, err
}

// readiness tells when this replica can answer.
type readiness struct{ warm atomic.Bool }

// Check returns nil once the replica is ready, otherwise why it is not.
func (r *readiness) Check() error {
	if !r.warm.Load() {
		return errors.New("the pulls in the cluster have not been read yet")
	}
	return nil
}

// warmTime bounds how long a replica waits for the first lists: without them it can answer, only slower.
const warmTime = 2 * time.Second

// run makes the replica ready: when the pulls are known and the lists have been read once.
func (r *readiness) run(ctx context.Context, hub *feed.Hub, lists *cache.Lists) error {
	select {
	case <-ctx.Done():
		return nil
	case <-hub.Synced():
	}
	ctx, cancel := context.WithTimeout(ctx, warmTime)
	defer cancel()
	_ = lists.Warm(ctx) // what is wrong, queries tell
	r.warm.Store(true)
	return nil
}
