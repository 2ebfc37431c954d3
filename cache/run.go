package cache

import (
	"context"
	"sync"
	"time"
)

const (
	// refreshPause bounds how often changes refresh the lists.
	refreshPause = 250 * time.Millisecond
	// refreshAhead is how often lists are refreshed when nothing changes. It is half the TTL, so that one may fail.
	refreshAhead = ActiveTTL / 2
)

// Run refreshes the lists until ctx is done. While this replica watches, it stores changed lists in memory; while it leads
// too, it writes them to Redis; and it writes there what reads have loaded. It returns when all work that reads began has
// ended, at most 2 s after ctx. Lists are read from memory only after that. It is called once.
func (l *Lists) Run(ctx context.Context) error {
	var running sync.WaitGroup
	if l.redis != nil {
		running.Go(func() { (&writer{Lists: l}).run(ctx) })
	}
	l.refreshAhead(ctx)
	l.end()
	l.refreshes.end()
	l.loads.end()
	running.Wait()
	return nil
}

func (l *Lists) refreshAhead(ctx context.Context) {
	changed, unsubscribe := l.local.Changed()
	defer unsubscribe()
	ahead := time.NewTicker(refreshAhead)
	defer ahead.Stop()
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-ahead.C:
		}
		pause.Reset(refreshPause)
		if !l.local.Watching() {
			// The watch may be live again before the next change. What this change has made old must not count as fresh then.
			l.expireWatched()
			continue
		}
		_, snapshot := l.takeLocal()
		if l.redis != nil && l.leads != nil && l.leads() {
			l.writes.put(write{snapshot: &snapshot})
		}
	}
}
