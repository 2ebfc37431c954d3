package feed

import (
	"context"
	"time"

	"pullwatch/internal/usererr"
)

// SetResourceVersions says that every change up to these resourceVersions, of Jobs and of pods, has been published.
func (h *Hub) SetResourceVersions(jobs, pods uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watchedVersions = h.watchedVersions.Max(ResourceVersions{jobs, pods})
	h.versions = h.versions.Max(h.watchedVersions)
	h.releaseCaughtUpLocked()
}

// ResourceVersions returns the highest resourceVersions up to which every change is known; 0 and 0 for none.
func (h *Hub) ResourceVersions() (jobs, pods uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.versions.Jobs, h.versions.Pods
}

// Missed returns a channel, always the same, that gets a value when the shared log has brought a pull that this replica's watch
// passed over: its Job was gone before the watch began. Only a watch that begins at ReplayFrom shows how such a pull ended.
func (h *Hub) Missed() <-chan struct{} { return h.missed }

// ReplayFrom returns the resourceVersions from which a watch sees the end of every pull that the Hub knows; 0 and 0 when they
// are not known.
func (h *Hub) ReplayFrom() (jobs, pods uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.withholdsLocked() {
		return h.missedFrom.Jobs, h.missedFrom.Pods
	}
	return h.versions.Jobs, h.versions.Pods
}

// withholdsLocked reports whether some pull is withheld until the log brings its end.
func (h *Hub) withholdsLocked() bool {
	for _, k := range h.latest {
		if k.withheld && !k.retired {
			return true
		}
	}
	return false
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
