package kube

import (
	"context"
	"time"
)

// SharedLog is the log through which the replica that watches the cluster shares pull states with the others.
type SharedLog interface {
	// Live reports whether changes in the cluster arrive at this replica.
	Live() bool
	// LiveChanged returns a channel that has a value once Live may have changed, and the function that ends the
	// subscription.
	LiveChanged() (<-chan struct{}, func())
}

// standInAfter is how long changes may fail to arrive before this replica watches for itself: longer than it takes to
// reconnect, shorter than a person would notice.
const standInAfter = 500 * time.Millisecond

// StandIn demands watch once the shared log has not been live for standInAfter, and until it is live again. It returns when ctx
// is done.
func StandIn(ctx context.Context, watch *Watch, shared SharedLog) error {
	changed, unsubscribe := shared.LiveChanged()
	defer unsubscribe()
	release := func() {}
	defer func() { release() }()
	var late <-chan time.Time // set while nothing arrives and the watch is not yet demanded
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
