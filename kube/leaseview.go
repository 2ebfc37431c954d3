package kube

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// leaseView is what this replica has seen of the Lease. The zero value has seen nothing.
type leaseView struct {
	mu sync.Mutex
	// last is the Lease as it was last seen, and changed when it was first seen so: its holder renews it every second.
	last    resourcelock.LeaderElectionRecord
	changed time.Time
	// refusal is what Kubernetes said when it last refused this replica to read or write the Lease, empty after a write that it
	// accepted.
	refusal string
	// logged are the refusals that were logged since then.
	logged map[string]bool
}

// observe takes the result of a request for the Lease. written is true for a write that makes this replica the holder, or lets it stay
// that. It logs who leads, and why this replica cannot, once for each.
func (v *leaseView) observe(identity string, record *resourcelock.LeaderElectionRecord, written bool, err error, logger *slog.Logger) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.changed.IsZero() {
		v.changed = time.Now()
	}
	if err != nil {
		words := refusalOf(err)
		if words == "" {
			return
		}
		v.refusal = words
		if !v.logged[words] {
			if v.logged == nil {
				v.logged = map[string]bool{}
			}
			v.logged[words] = true
			logger.Warn("Kubernetes refuses this replica the Lease, so it cannot lead", "error", err)
		}
		return
	}
	if written {
		v.refusal, v.logged = "", nil
	}
	if v.last == *record {
		return
	}
	if holder := record.HolderIdentity; holder != v.last.HolderIdentity && holder != "" && holder != identity {
		logger.Info("another replica leads", "holder", holder)
	}
	v.last, v.changed = *record, time.Now()
}

// refusalOf returns what Kubernetes said if it refused a request for what it is; empty if it did not answer, or answered that
// another replica was faster.
func refusalOf(err error) string {
	status, answered := errors.AsType[*apierrors.StatusError](err)
	switch {
	case !answered, apierrors.IsNotFound(err), apierrors.IsAlreadyExists(err), apierrors.IsConflict(err):
		return ""
	}
	return status.Status().Message
}

// holder returns who renews the Lease, empty if nobody does. vacant is how long nobody is known to.
func (v *leaseView) holder() (holder string, vacant time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.changed.IsZero() {
		return "", 0
	}
	unchanged := time.Since(v.changed)
	if v.last.HolderIdentity != "" && unchanged <= leaseDuration {
		return v.last.HolderIdentity, 0
	}
	return "", unchanged
}

func (v *leaseView) refused() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.refusal
}
