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
