package replica

import (
	"time"

	"pullwatch/cache"
	"pullwatch/internal/feed"
	"pullwatch/internal/feed/sharedlog"
	"pullwatch/kube"
)

// local is what this replica knows of pulls: a cache.Local.
type local struct {
	*feed.Hub
	role   *kube.Role
	stream *sharedlog.Stream // nil without Redis
	health *kube.Health      // of the client with which this replica watches
}

// Watching implements cache.Local.
func (l local) Watching() bool { return l.role.Watches() }

// Current implements cache.Local.
func (l local) Current() bool {
	return l.role.Watches() || (l.stream != nil && l.stream.Live() && time.Since(l.stream.Proven()) < cache.ActiveTTL)
}

// Snapshot implements cache.Local.
func (l local) Snapshot() cache.Snapshot {
	// Before the lists are read, so that the lists are at least as new.
	version, _ := l.ResourceVersions()
	proven, watching := l.proven(), l.role.Watches()
	asOf := time.Now()
	if !watching {
		asOf = proven
	}
	return cache.Snapshot{Active: l.Active(), Failed: l.Failed(), Version: version, AsOf: asOf, Proven: proven}
}

// proven returns when the Hub was last known to be up to date. While the Hub is filled from the shared log, that log says when,
// also on the replica that watches: its own watch may be ahead of what the shared log has returned.
func (l local) proven() time.Time {
	if l.stream != nil {
		proven := l.stream.Proven()
		if !l.role.Watches() || l.stream.Live() && !proven.IsZero() {
			return proven
		}
	}
	return l.health.Asked()
}
