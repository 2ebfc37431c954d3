package kube

import (
	"context"
	"errors"
	"log/slog"

	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// ownLock is a lock that only its holder gives back: client-go's elector gives back the Lease that it last held, which another replica
// may hold by now if this process was stopped for some time. A leaseView observes the lock's requests.
type ownLock struct {
	resourcelock.Interface
	view   *leaseView
	logger *slog.Logger
	// holder is the holder that the last Get returned. An elector makes one call after the other.
	holder string
}

// Get implements resourcelock.Interface.
func (l *ownLock) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	record, raw, err := l.Interface.Get(ctx)
	l.view.observe(l.Identity(), record, false, err, l.logger)
	if err == nil {
		l.holder = record.HolderIdentity
	}
	return record, raw, err
}

// Create implements resourcelock.Interface.
func (l *ownLock) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	err := l.Interface.Create(ctx, record)
	l.view.observe(l.Identity(), &record, true, err, l.logger)
	return err
}

// Update implements resourcelock.Interface.
func (l *ownLock) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	if record.HolderIdentity == "" && l.holder != l.Identity() {
		return errors.New("the Lease is another replica's")
	}
	err := l.Interface.Update(ctx, record)
	l.view.observe(l.Identity(), &record, true, err, l.logger)
	return err
}
