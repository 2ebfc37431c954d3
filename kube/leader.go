package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	batchv1client "k8s.io/client-go/kubernetes/typed/batch/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// leaseName is the Lease that the leader of all replicas in a namespace holds.
const leaseName = "pullwatch"

// The Lease's times: a replica that is killed is followed by another within leaseDuration and a retry; one that cannot
// renew stops leading before anyone else may begin.
const (
	leaseDuration = 10 * time.Second
	renewDeadline = 7 * time.Second
	retryPeriod   = 2 * time.Second
)

// Leader does what must be done once for all replicas, while this replica holds the Lease: it lets queued pulls start,
// records how attempts ended, and prunes history.
type Leader struct {
	client      kubernetes.Interface
	jobs        batchv1client.JobInterface
	namespace   string
	identity    string
	maxParallel int
	watch       *Watch
	tracker     *Tracker
	log         *slog.Logger
	leads       atomic.Bool
}

// NewLeader returns a Leader that competes for the Lease under identity, a name that no other replica has, and lets
// maxParallel pulls run at a time.
func NewLeader(client kubernetes.Interface, namespace, identity string, maxParallel int, watch *Watch, log *slog.Logger) *Leader {
	return &Leader{
		client: client, jobs: client.BatchV1().Jobs(namespace), namespace: namespace, identity: identity,
		maxParallel: maxParallel, watch: watch, tracker: watch.tracker, log: log,
	}
}

// Leads reports whether this replica holds the Lease.
func (l *Leader) Leads() bool { return l.leads.Load() }

// Run competes for the Lease and leads whenever it has it, until ctx is done; then it gives the Lease back.
func (l *Leader) Run(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-l.watch.Synced():
	}
	for ctx.Err() == nil {
		if err := l.campaign(ctx); err != nil {
			return err
		}
	}
	return nil
}

// campaign waits for the Lease, leads until it is lost or ctx is done, and returns when all of that has ended.
func (l *Leader) campaign(ctx context.Context) error {
	won := make(chan context.Context, 1)
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: l.namespace, Name: leaseName},
			Client:     l.client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: l.identity},
		},
		Name:          leaseName,
		LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: retryPeriod,
		ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(leading context.Context) { won <- leading },
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		return fmt.Errorf("leader election: %w", err)
	}
	// The Lease outlives ctx until the work that it guards has ended.
	electing, stop := context.WithCancel(context.WithoutCancel(ctx))
	over := make(chan struct{})
	go func() {
		defer close(over)
		elector.Run(electing)
	}()
	select {
	case leading := <-won:
		work, cancel := context.WithCancel(leading)
		defer context.AfterFunc(ctx, cancel)()
		l.lead(work)
		cancel()
	case <-ctx.Done():
	case <-over:
	}
	stop()
	<-over
	return nil
}

// lead does the leader's work at each change until ctx is done.
func (l *Leader) lead(ctx context.Context) {
	l.leads.Store(true)
	defer l.leads.Store(false)
	l.log.Info("leading", "identity", l.identity)
	defer l.log.Info("no longer leading", "identity", l.identity)
	changed, unsubscribe := l.watch.Changed()
	defer unsubscribe()
	const shortest, longest = 500 * time.Millisecond, 2 * time.Second
	pause := shortest
	for ctx.Err() == nil {
		err := errors.Join(l.startQueued(ctx), l.recordAttempts(ctx), l.prune(ctx))
		if err == nil || ctx.Err() != nil {
			pause = shortest
			select {
			case <-ctx.Done():
			case <-changed:
			}
			continue
		}
		l.log.Warn("the leader's work failed and will be tried again", "error", err, "in", pause.String())
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, longest)
	}
}
