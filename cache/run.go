package cache

import (
	"context"
	"sync"
	"time"
)

const (
	// refreshPause is the shortest time between two changes that refresh the lists.
	refreshPause = 250 * time.Millisecond
	// refreshAhead is how often the lists are refreshed when nothing changes: twice in their time to live, so that one may fail.
	refreshAhead = ActiveTTL / 2
)

// Run refreshes the lists until ctx is done. While this replica watches, Run stores changed lists in memory. While the replica
// leads, too, Run writes them to Redis. It also writes there what was loaded. Run is called once. It returns when all
// refreshes and loads have ended, at most 2 s after ctx is done. After that, reads get fresh lists from memory only.
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
			// The watch may be live again before the next change. The lists from before this change must not be fresh then.
			l.expireWatched()
			continue
		}
		_, snapshot := l.takeLocal()
		if l.redis != nil && l.leads != nil && l.leads() {
			l.writes.put(write{snapshot: &snapshot})
		}
	}
}
