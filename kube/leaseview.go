package kube

import (
	"context"
	"log/slog"
	"reflect"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationv1client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"pullwatch/internal/broadcast"
	"pullwatch/kube/pullstate"
)

// leaseView is what this replica has seen of the Lease. The zero value has seen nothing.
type leaseView struct {
	mu sync.Mutex
	// last is the Lease as it was last seen, and changed when it was first seen so: its holder renews it every second.
	last    resourcelock.LeaderElectionRecord
	changed time.Time
	// refusal is what Kubernetes said when it last refused this replica to read or, if refusedWrite is set, to write the Lease. It is
	// empty once it has accepted the same.
	refusal      string
	refusedWrite bool
	// queueState is what stands on the Lease about the queue, and version the resourceVersion with which it was read; 0 before that.
	queueState queueState
	version    uint64
	// queueChanged is notified when queueState has changed.
	queueChanged broadcast.Signal
	// logged are the refusals that were logged since then.
	logged map[string]bool
}

// observe takes the result of a request for the Lease. written is true for a write that makes this replica the holder, or lets it stay
// that; false for a read. It logs who leads, and why this replica cannot, once for each.
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
		v.refusal, v.refusedWrite = words, written
		if !v.logged[words] {
			if v.logged == nil {
				v.logged = map[string]bool{}
			}
			v.logged[words] = true
			logger.Warn("Kubernetes refuses this replica the Lease, so it cannot lead", "error", err)
		}
		return
	}
	if written || !v.refusedWrite {
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

// refusalOf returns what Kubernetes said if it refused a request for what it is; empty if it did not answer, cannot do it now, or
// answered that another replica was faster.
func refusalOf(err error) string {
	if apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) || apierrors.IsInvalid(err) {
		return message(err)
	}
	return ""
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

// observeQueue takes the Lease as the API server returned it, for what stands there about the queue. It logs what has changed. An
// older version than the known one is dropped.
func (v *leaseView) observeQueue(lease *coordinationv1.Lease, logger *slog.Logger) {
	v.mu.Lock()
	defer v.mu.Unlock()
	version := pullstate.Version(lease)
	if version < v.version {
		return
	}
	before, now := v.queueState, readQueueState(lease)
	v.version, v.queueState = version, now
	if reflect.DeepEqual(before, now) {
		return
	}
	switch {
	case now.Paused != nil:
		logger.Info("the queue is paused", "reason", now.Paused.Reason, "since", now.Paused.Since)
	case before.Paused != nil:
		logger.Info("the queue is no longer paused")
	}
	v.queueChanged.Notify()
}

// queue returns what stands on the Lease about the queue; known is false before the Lease was read.
func (v *leaseView) queue() (state queueState, known bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.queueState, v.version > 0
}

// observedLeases are leases of which a leaseView observes what stands there about the queue.
type observedLeases struct {
	coordinationv1client.LeasesGetter
	view   *leaseView
	logger *slog.Logger
}

// Leases implements coordinationv1client.LeasesGetter.
func (o observedLeases) Leases(namespace string) coordinationv1client.LeaseInterface {
	return observedLease{o.LeasesGetter.Leases(namespace), o}
}

type observedLease struct {
	coordinationv1client.LeaseInterface
	observed observedLeases
}

// Get implements coordinationv1client.LeaseInterface.
func (o observedLease) Get(ctx context.Context, name string, options metav1.GetOptions) (*coordinationv1.Lease, error) {
	return o.observe(o.LeaseInterface.Get(ctx, name, options))
}

// Create implements coordinationv1client.LeaseInterface.
func (o observedLease) Create(ctx context.Context, lease *coordinationv1.Lease, options metav1.CreateOptions) (*coordinationv1.Lease, error) {
	return o.observe(o.LeaseInterface.Create(ctx, lease, options))
}

// Update implements coordinationv1client.LeaseInterface.
func (o observedLease) Update(ctx context.Context, lease *coordinationv1.Lease, options metav1.UpdateOptions) (*coordinationv1.Lease, error) {
	return o.observe(o.LeaseInterface.Update(ctx, lease, options))
}

func (o observedLease) observe(lease *coordinationv1.Lease, err error) (*coordinationv1.Lease, error) {
	if err == nil {
		o.observed.view.observeQueue(lease, o.observed.logger)
	}
	return lease, err
}

func (v *leaseView) refused() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.refusal
}
