package replica

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"pullwatch/cache"
	"pullwatch/internal/feed"
	"pullwatch/kube"
)

// readiness says whether this replica accepts requests.
type readiness struct {
	warm, stopping atomic.Bool
	role           *kube.Role
}

// Check returns nil while the replica is ready. Otherwise its error says why it is not.
func (r *readiness) Check() error {
	switch {
	case r.stopping.Load():
		return errors.New("stopping")
	case !r.warm.Load():
		if err := r.role.Unread(); err != nil {
			return fmt.Errorf("the pulls in the cluster cannot be read: %w", err)
		}
		return errors.New("the pulls in the cluster have not been read yet")
	}
	return nil
}

// warmTime bounds how long a replica waits for its first lists. It can answer without them, but more slowly.
const warmTime = 2 * time.Second

// run makes the replica ready once the Hub is synced and the lists have been read. When ctx is done, the replica is stopping.
func (r *readiness) run(ctx context.Context, hub *feed.Hub, lists *cache.Lists) error {
	defer r.stopping.Store(true)
	select {
	case <-ctx.Done():
		return nil
	case <-hub.Synced():
	}
	warming, cancel := context.WithTimeout(ctx, warmTime)
	defer cancel()
	_ = lists.Warm(warming) // queries return the same errors
	r.warm.Store(true)
	<-ctx.Done()
	return nil
}
