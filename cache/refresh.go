package cache

import (
	"context"
	"strconv"
	"time"
)

// Watch is what Refresh waits on.
type Watch interface {
	// Live reports whether the source is being watched at the moment; while it is, a load costs next to nothing.
	Live() bool
	// Changed returns a channel that has a value once some pull has changed, and the function that ends the
	// subscription.
	Changed() (<-chan struct{}, func())
}

const (
	// refreshPause bounds how often changes refresh the lists.
	refreshPause = 250 * time.Millisecond
	// refreshAhead is how often lists are refreshed when nothing changes: before the shorter of their times to live.
	refreshAhead = ActiveTTL - time.Second
)

// Refresh refreshes the lists as they change and before they expire, until ctx is done. While the watch is not live it
// lets them expire, so that reads go to the source.
func (l *Lists) Refresh(ctx context.Context, watch Watch) error {
	changed, unsubscribe := watch.Changed()
	defer unsubscribe()
	ahead := time.NewTicker(refreshAhead)
	defer ahead.Stop()
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-pause.C:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-ahead.C:
		}
		pause.Reset(refreshPause)
		if !watch.Live() {
			continue
		}
		for _, e := range []*entry{l.active, l.failed} {
			// An error is the readers' to see: the entry expires, and their own load returns it.
			_, _ = e.refresh(ctx, e.currentGeneration())
		}
	}
}

// flight names the load of a generation: a read that follows an invalidation must not join a load from before it.
func flight(generation uint64) string { return strconv.FormatUint(generation, 10) }
