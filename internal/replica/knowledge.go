package replica

import (
	"time"

	"pullwatch/cache"
	"pullwatch/internal/feed"
	"pullwatch/kube"
)

// knowledge is what this replica knows by itself, as the cache of lists wants it.
type knowledge struct {
	*feed.Hub
	role   *kube.Role
	stream *feed.Stream // nil without Redis
	health *kube.Health // of what this replica's watch asks
}

// Watching reports whether this replica watches the cluster.
func (k knowledge) Watching() bool { return k.role.Watches() }

// Current reports whether what happens in the cluster arrives at this replica.
func (k knowledge) Current() bool {
	return k.role.Watches() || (k.stream != nil && k.stream.Live() && time.Since(k.stream.Proven()) < cache.ActiveTTL)
}

// Snapshot returns the lists as they are known.
func (k knowledge) Snapshot() cache.Snapshot {
	// All before the lists are taken, so that they are no older than is said of them.
	version, _ := k.Marked()
	proven, watching := k.proven(), k.role.Watches()
	asOf := time.Now()
	if !watching {
		asOf = proven
	}
	return cache.Snapshot{Active: k.Active(), Failed: k.Failed(), Version: version, AsOf: asOf, Proven: proven}
}

// proven returns when what the Hub knows was last known to be true. While the Hub learns from the shared log, that is what
// the log tells, also on the replica that watches: what its watch has told may not have come back from there.
func (k knowledge) proven() time.Time {
	if k.stream != nil {
		proven := k.stream.Proven()
		if !k.role.Watches() || k.stream.Live() && !proven.IsZero() {
			return proven
		}
	}
	return k.health.Asked()
}
