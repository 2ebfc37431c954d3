// Package cache answers list queries from memory and keeps what it answers with fresh.
//
// Each list has an entry with a time to live. A read takes the entry while it lives; otherwise it loads the list from the
// source, one load at a time for all who wait. Whoever watches the source refreshes the entries as they change, so that
// reads seldom load anything. A mutation invalidates the entries, and no load or refresh that began before it fills them.
package cache

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"pullwatch/pull"
)

// How long a list that nobody refreshes is answered with.
const (
	ActiveTTL = 5 * time.Second
	FailedTTL = 30 * time.Second
)

// Source is where lists come from.
type Source interface {
	// Active returns the pulls that have not ended, newest first.
	Active(context.Context) ([]*pull.Job, error)
	// Failed returns the failed pulls, the latest first.
	Failed(context.Context) ([]*pull.Job, error)
}

// Lists answers with the lists of pulls. What it returns is shared and must not be changed.
type Lists struct {
	active, failed *entry
	metrics        *Metrics
}

// NewLists returns empty Lists over source.
func NewLists(source Source, metrics *Metrics) *Lists {
	return &Lists{
		active:  &entry{name: "active", ttl: ActiveTTL, load: source.Active, metrics: metrics},
		failed:  &entry{name: "failed", ttl: FailedTTL, load: source.Failed, metrics: metrics},
		metrics: metrics,
	}
}

// Active returns the pulls that have not ended, newest first. An error is the source's.
func (l *Lists) Active(ctx context.Context) ([]*pull.Job, error) { return l.active.get(ctx) }

// Failed returns at most limit failed pulls, the latest first. An error is the source's.
func (l *Lists) Failed(ctx context.Context, limit int) ([]*pull.Job, error) {
	jobs, err := l.failed.get(ctx)
	return jobs[:min(limit, len(jobs))], err
}

// Invalidate makes the next reads load the lists.
func (l *Lists) Invalidate() {
	l.active.invalidate()
	l.failed.invalidate()
}

// entry is one list.
type entry struct {
	name    string
	ttl     time.Duration
	load    func(context.Context) ([]*pull.Job, error)
	metrics *Metrics
	flights singleflight.Group

	mu      sync.Mutex
	jobs    []*pull.Job
	expires time.Time
	// generation counts invalidations. What was loaded in an earlier one is not kept.
	generation uint64
}

// loadTimeout bounds a load. It goes on when the one who asked first gives up, for the others who wait.
const loadTimeout = 15 * time.Second

func (e *entry) get(ctx context.Context) ([]*pull.Job, error) {
	e.mu.Lock()
	jobs, fresh, generation := e.jobs, time.Now().Before(e.expires), e.generation
	e.mu.Unlock()
	if fresh {
		e.metrics.reads.WithLabelValues(e.name, "hit").Inc()
		return jobs, nil
	}
	e.metrics.reads.WithLabelValues(e.name, "miss").Inc()
	loaded := e.flights.DoChan(flight(generation), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTimeout)
		defer cancel()
		return e.refresh(ctx, generation)
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case r := <-loaded:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.([]*pull.Job), nil
	}
}

// refresh loads the list and keeps it, unless it has been invalidated since generation.
func (e *entry) refresh(ctx context.Context, generation uint64) ([]*pull.Job, error) {
	began := time.Now()
	jobs, err := e.load(ctx)
	if err != nil {
		return nil, err
	}
	e.metrics.loads.WithLabelValues(e.name).Observe(time.Since(began).Seconds())
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.generation == generation {
		e.jobs, e.expires = jobs, time.Now().Add(e.ttl)
	}
	return jobs, nil
}

func (e *entry) invalidate() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.generation++
	e.expires = time.Time{}
}

func (e *entry) currentGeneration() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.generation
}
