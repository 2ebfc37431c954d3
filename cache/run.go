package cache

import (
	"context"
	"sync"
	"time"
)

const (
	// refreshPause bounds how often changes refresh the lists.
	refreshPause = 250 * time.Millisecond
	// refreshAhead is how often lists are refreshed when nothing changes: so often that one that fails does no harm.
	refreshAhead = ActiveTTL / 2
)

// Run keeps the lists until ctx is done: while this replica watches, it takes changed lists into memory; while it
// leads too, it writes them to Redis; and it writes there what reads had to load. When it returns, which is when all
// work that was begun for reads has ended (at most 2 s later), nothing but memory answers any more. It is called once.
func (l *Lists) Run(ctx context.Context) error {
	var running sync.WaitGroup
	if l.shared != nil {
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
			// The watch may be live again before the next change, and must not find fresh what this one has made old.
			l.unkeep()
			continue
		}
		_, snapshot := l.takeLocal()
		if l.shared != nil && l.leads != nil && l.leads() {
			l.writes.put(write{snapshot: &snapshot})
		}
	}
}
