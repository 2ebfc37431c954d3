package cache

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"pullwatch/internal/pull"
)

// writeTimeout bounds a write. No read waits for writes.
const writeTimeout = time.Second

// write is what to write to Redis.
type write struct {
	// snapshot is nil when there is only a lease to release.
	snapshot *Snapshot
	// token is that of the lease to release; empty for none.
	token string
}

// mailbox holds the next write, with the latest snapshot.
type mailbox struct {
	mu     sync.Mutex
	next   write
	filled chan struct{}
}

// put makes w the next write. If one is waiting already, it takes the newer snapshot of both. It does not wait.
func (m *mailbox) put(w write) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.next.snapshot != nil && (w.snapshot == nil || w.snapshot.AsOf.Before(m.next.snapshot.AsOf)) {
		w.snapshot = m.next.snapshot
	}
	if w.token == "" {
		w.token = m.next.token
	}
	m.next = w
	select {
	case m.filled <- struct{}{}:
	default:
	}
}

func (m *mailbox) take() write {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := m.next
	m.next = write{}
	return w
}

// writer writes to Redis, one write at a time.
type writer struct {
	*Lists
	// encoded holds the lists that were written last, with their stamps. The same list is neither encoded nor sent again.
	encoded [kinds]struct {
		encoder
		states []*pull.State
		stamp  string
	}
}

// run writes what is put into the mailbox, until ctx is done.
func (w *writer) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.writes.filled:
		}
		next := w.writes.take()
		if err := w.do(ctx, next); err != nil {
			// The client logs when Redis is away. The next change or renewal writes again.
			w.logger.Debug("lists of pulls are not written", "error", err)
			if next.snapshot != nil {
				for k := range kinds {
					w.metrics.wrote(k, "failed")
				}
			}
		}
	}
}

func (w *writer) do(ctx context.Context, next write) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	var all []kind
	if next.snapshot != nil {
		all = []kind{active, failed}
	}
	// Those who wait for a fill must find the lists then, so nothing is left out.
	missing, err := w.send(ctx, next, all, next.token == "")
	if err == nil && len(missing) > 0 {
		_, err = w.send(ctx, next, missing, false)
	}
	return err
}

// send writes some of the lists. With renew it leaves out content that should be in Redis already, and returns the lists whose
// content is not.
func (w *writer) send(ctx context.Context, next write, lists []kind, renew bool) (missing []kind, err error) {
	keys := []string{w.redis.lease, w.redis.fills}
	args := []any{next.token, retention.Milliseconds()}
	var sent []kind
	for _, k := range lists {
		if time.Since(next.snapshot.Proven) >= k.ttl() {
			continue // it is too old to be useful: this process may have been stopped
		}
		left := k.ttl() + retention - time.Since(next.snapshot.AsOf)
		unproven := next.snapshot.AsOf.Sub(next.snapshot.Proven)
		states, last := next.snapshot.states(k), &w.encoded[k]
		var data []byte
		if !renew || last.stamp == "" || !slices.Equal(states, last.states) {
			if data, last.stamp, err = last.encode(states); err != nil {
				return nil, err
			}
			last.states = states
		}
		sent = append(sent, k)
		keys = append(keys, w.redis.lists[k])
		args = append(args, fmt.Sprintf("%020d", next.snapshot.Version), last.stamp, left.Milliseconds(), unproven.Milliseconds(), data)
	}
	results, err := writeScript.Run(ctx, w.redis.client, keys, args...).StringSlice()
	if err != nil {
		return nil, fmt.Errorf("write lists to Redis: %w", err)
	}
	for i, result := range results[:min(len(results), len(sent))] {
		if result == "missing" {
			missing = append(missing, sent[i])
			continue
		}
		w.metrics.wrote(sent[i], result)
	}
	return missing, nil
}
