package feed

import (
	"context"
	"time"

	"pullwatch/internal/usererr"
)

// BeginWatch says that this replica's watch has begun, and that it will publish every change after these resourceVersions, of
// Jobs and of pods. They are 0 and 0 when what happened before it can't be learned any more.
func (h *Hub) BeginWatch(jobs, pods uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	since := ResourceVersions{jobs, pods}
	if h.versions == (ResourceVersions{}) || jobs == 0 {
		h.knownSince = since
	}
	if h.gap = since.after(h.versions); h.gap {
		h.missLocked() // the shared log was read while the watch began
	}
}

// missLocked says that another watch must begin.
func (h *Hub) missLocked() {
	h.gap = true
	select {
	case h.missed <- struct{}{}:
	default:
	}
}

// SetResourceVersions says that every change from the begin of the watch up to these resourceVersions, of Jobs and of pods, has
// been published.
func (h *Hub) SetResourceVersions(jobs, pods uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watchedVersions = h.watchedVersions.Max(ResourceVersions{jobs, pods})
	if !h.gap {
		h.versions = h.versions.Max(h.watchedVersions)
	}
	h.releaseCaughtUpLocked()
}

// ResourceVersions returns the highest resourceVersions up to which every change is known; 0 and 0 for none.
func (h *Hub) ResourceVersions() (jobs, pods uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.versions.Jobs, h.versions.Pods
}

// Missed returns a channel, always the same, that gets a value when the shared log shows that this replica's watch began too
// late: after changes that neither the log nor the Hub knows. A watch that begins at ResourceVersions finds them.
func (h *Hub) Missed() <-chan struct{} { return h.missed }

// Gap reports whether what Missed has told still holds: no watch has begun since. The resourceVersions of the watch that goes on
// then cover changes that nobody has published.
func (h *Hub) Gap() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.gap
}

// SetSynced says that every pull that exists has been published.
func (h *Hub) SetSynced() { h.syncOnce.Do(func() { close(h.synced) }) }

// Synced is closed after the first SetSynced.
func (h *Hub) Synced() <-chan struct{} { return h.synced }

// AwaitSync waits for Synced, 10 s at most. The error is a usererr.Unavailable.
func (h *Hub) AwaitSync(ctx context.Context) error {
	const longest = 10 * time.Second
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	select {
	case <-h.synced:
		return nil
	case <-ctx.Done():
		return usererr.New(usererr.Unavailable, "the server has not read the state of the cluster yet; try again in a moment")
	}
}
