package replica

import (
	"time"

	"pullwatch/cache"
	"pullwatch/internal/feed"
	"pullwatch/kube"
)

// local is a cache.Local: what this replica knows of pulls without asking anybody.
type local struct {
	*feed.Hub
	role   *kube.Role
	stream *feed.Stream // nil without Redis
	health *kube.Health // of the client that this replica watches with
}

// Watching implements cache.Local, as do the following methods.
func (l local) Watching() bool { return l.role.Watches() }

func (l local) Current() bool {
	return l.role.Watches() || (l.stream != nil && l.stream.Live() && time.Since(l.stream.Proven()) < cache.ActiveTTL)
}

func (l local) Snapshot() cache.Snapshot {
	// Read these before the lists, so that the lists are at least as new as these say.
	version, _ := l.Marked()
	proven, watching := l.proven(), l.role.Watches()
	asOf := time.Now()
	if !watching {
		asOf = proven
	}
	return cache.Snapshot{Active: l.Active(), Failed: l.Failed(), Version: version, AsOf: asOf, Proven: proven}
}

// proven returns when the Hub was last known to be up to date. While the Hub is filled from the shared log, the log says when.
// That holds on the replica that watches, too: its own watch may be ahead of what has come back from the log.
func (l local) proven() time.Time {
	if l.stream != nil {
		proven := l.stream.Proven()
		if !l.role.Watches() || l.stream.Live() && !proven.IsZero() {
			return proven
		}
	}
	return l.health.Asked()
}
