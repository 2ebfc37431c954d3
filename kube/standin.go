package kube

import (
	"context"
	"time"
)

// SharedFeed is the feed of the replica that watches the cluster, as another replica sees it.
type SharedFeed interface {
	// Live reports whether changes in the cluster arrive at this replica.
	Live() bool
	// LiveChanged returns a channel that has a value once Live may have changed, and the function that ends the
	// subscription.
	LiveChanged() (<-chan struct{}, func())
}

// standInAfter is how long shared may be away before this replica watches for itself: longer than it takes to make a
// broken connection anew, shorter than a person would notice.
const standInAfter = 500 * time.Millisecond

// StandIn demands watch whenever shared is away for some time, and until it is back. It returns when ctx is done.
func StandIn(ctx context.Context, watch *Watch, shared SharedFeed) error {
	changed, unsubscribe := shared.LiveChanged()
	defer unsubscribe()
	release := func() {}
	defer func() { release() }()
	var late <-chan time.Time // while shared is away and the watch is not yet demanded
	away := false
	for {
		switch live := shared.Live(); {
		case live && away:
			release()
			release, late, away = func() {}, nil, false
		case !live && !away:
			late, away = time.After(standInAfter), true
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-late:
			release, late = watch.Demand(), nil
		}
	}
}
