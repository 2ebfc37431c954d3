package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	batchv1client "k8s.io/client-go/kubernetes/typed/batch/v1"
	coordinationv1client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"pullwatch/kube/listwatch"
)

// leaseName is the Lease that the leader of all replicas in a namespace holds.
const leaseName = "pullwatch"

// The Lease's times. A replica that cannot renew the Lease begins to try at most retryPeriod after it last did, and stops
// leading renewDeadline later: before anyone else may begin. That is long enough for client-go to give up a connection that
// hangs, and for another try on a new one.
const (
	leaseDuration = 6 * time.Second
	renewDeadline = 4 * time.Second
	retryPeriod   = time.Second
)

// longestTry is the longest that client-go waits before it tries again to take a Lease.
const longestTry = time.Duration((1 + leaderelection.JitterFactor) * float64(retryPeriod))

// LongestTakeover is how long it takes at most, after a leader was killed, until another replica leads and watches, as long
// as the API server answers within moments:
//   - longestTry until the other one notices that the Lease was renewed just before,
//   - leaseDuration, for which it must not change after that,
//   - longestTry, for the try before may have come a moment too early,
//   - a second to take the Lease and to list everything.
//
// With these times that is 11.4 s. Times half as long would make twice as many requests.
const LongestTakeover = longestTry + leaseDuration + longestTry + time.Second

// Succession tells the other replicas that a leader stops, so that they try for the Lease at once and not at their next turn.
type Succession interface {
	// Resign tells the other replicas that the Lease has been given back. It is called with a deadline.
	Resign(ctx context.Context)
	// Vacant returns a channel, always the same, that gets a value when a leader has resigned.
	Vacant() <-chan struct{}
}

// resignTimeout bounds Resign, which must not hold up a shutdown.
const resignTimeout = time.Second

// Leader does what must be done once for all replicas, while this replica holds the Lease: it demands the watch, starts queued
// pulls (queue.go), tells them what is to be said of the queue (notice.go), records how attempts ended and what keeps them from starting (record.go, warnings.go), and prunes history (history.go).
type Leader struct {
	leases      coordinationv1client.LeasesGetter
	jobs        batchv1client.JobInterface
	events      corev1client.EventInterface
	namespace   string
	identity    string
	maxParallel int
	away        func() bool
	watch       *Watch
	tracker     *Tracker
	succession  Succession
	role        *Role
	logger      *slog.Logger
}

// LeaseTimeout is the timeout of requests for the Lease. A replica that cannot renew the Lease in time must let it go, and one
// that competes for it must not wait for a connection that hangs.
const LeaseTimeout = 2 * time.Second

// LeaderOptions say what a Leader works on.
type LeaderOptions struct {
	Client kubernetes.Interface
	// Leases is a client whose timeout is LeaseTimeout.
	Leases    coordinationv1client.LeasesGetter
	Namespace string
	// Identity is a name that no other replica has.
	Identity string
	// MaxParallel is how many pulls run at a time.
	MaxParallel int
	// Away reports whether the API server does not answer at the moment, as Health does.
	Away  func() bool
	Watch *Watch
	// Role is set while this replica leads.
	Role *Role
	// Succession is nil when the replicas have no way to talk to each other.
	Succession Succession
	Log        *slog.Logger
}

// NewLeader returns a Leader that competes for the Lease once it runs.
func NewLeader(o LeaderOptions) *Leader {
	return &Leader{
		leases: o.Leases, jobs: o.Client.BatchV1().Jobs(o.Namespace), events: o.Client.CoreV1().Events(o.Namespace),
		namespace: o.Namespace, identity: o.Identity,
		maxParallel: o.MaxParallel, away: o.Away, watch: o.Watch, tracker: o.Watch.tracker, succession: o.Succession, role: o.Role, logger: o.Log,
	}
}

// Run competes for the Lease and leads while it has it, until ctx is done. Then it gives the Lease back.
func (l *Leader) Run(ctx context.Context) error {
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
		Lock: &ownLock{Interface: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: l.namespace, Name: leaseName},
			Client:     observedLeases{l.leases, &l.role.lease, l.logger},
			LockConfig: resourcelock.ResourceLockConfig{Identity: l.identity},
		}, view: &l.role.lease, logger: l.logger},
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
	// Hold the Lease beyond ctx, until the work that it guards has ended.
	electing, stop := context.WithCancel(context.WithoutCancel(ctx))
	over := make(chan struct{})
	go func() {
		defer close(over)
		elector.Run(electing)
	}()
	var vacant <-chan struct{}
	if l.succession != nil {
		vacant = l.succession.Vacant()
	}
	led := false
	select {
	case leading := <-won:
		led = true
		work, cancel := context.WithCancel(leading)
		defer context.AfterFunc(ctx, cancel)()
		l.lead(work, elector)
		cancel()
	case <-vacant: // the next campaign tries at once, where this one would wait for its next turn
	case <-ctx.Done():
	case <-over:
	}
	stop()
	<-over
	if led && ctx.Err() != nil && l.succession != nil {
		resigning, cancel := context.WithTimeout(context.WithoutCancel(ctx), resignTimeout)
		defer cancel()
		l.succession.Resign(resigning)
	}
	return nil
}

// lead does the leader's work at each change until ctx is done.
func (l *Leader) lead(ctx context.Context, elector *leaderelection.LeaderElector) {
	l.role.leads.Store(true)
	defer l.role.leads.Store(false)
	defer l.role.slowed.Store(0)
	defer l.role.forbidden.Store(nil)
	l.logger.Info("leading", "identity", l.identity)
	defer l.logger.Info("no longer leading", "identity", l.identity)
	defer l.watch.Demand()()
	if l.watch.AwaitSync(ctx) != nil {
		return
	}
	reading, stop := context.WithCancel(ctx)
	var reader sync.WaitGroup
	reader.Go(func() { l.watchWarnings(reading) })
	defer func() { stop(); reader.Wait() }()
	term := newTerm(l, elector)
	changed, unsubscribe := l.tracker.changed.Subscribe()
	defer unsubscribe()
	queueChanged, unsubscribeQueue := l.role.lease.queueChanged.Subscribe()
	defer unsubscribeQueue()
	const shortest, longest = 500 * time.Millisecond, 2 * time.Second
	wait, logged := shortest, false
	for ctx.Err() == nil {
		term.pace.begin(l.tracker.now())
		term.observeSlowdowns()
		err := errors.Join(term.makeRoom(ctx), term.startQueued(ctx), term.writeNotices(ctx), term.recordAttempts(ctx), term.endCopied(ctx),
			term.endGivenUp(ctx), term.forgetHindrances(ctx), term.prune(ctx))
		if errors.Is(err, errTermOver) {
			return
		}
		if err == nil || ctx.Err() != nil {
			wait, logged = shortest, false
			select {
			case <-ctx.Done():
			case <-changed:
			case <-queueChanged:
			case <-l.tracker.due(term.pace.again):
			case <-l.tracker.feed.Missed():
				l.watch.restart()
				_ = l.watch.AwaitSync(ctx) // its error is ctx's
			}
			continue
		}
		if !logged {
			l.logger.Warn("the leader's work failed and is tried until it succeeds", "error", err)
			logged = true
		}
		listwatch.Sleep(ctx, wait)
		wait = min(2*wait, longest)
	}
}
