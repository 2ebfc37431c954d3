// Package cache answers list queries without asking Kubernetes each time.
//
// A read takes the first of these that is fresh: this replica's memory (at most 200 ms old), what this replica's own
// watch knows, Redis, what the shared log has told, and at last a load from Kubernetes, which fills Redis behind the
// answer. Whatever it takes, it takes both lists at once, and all who wait for it share it; a short lease in Redis
// makes even cold replicas share one load. The replica that leads writes the lists to Redis as they change and before
// they expire, so that while it lives reads never reach Kubernetes.
//
// When nothing fresh can be had, or not soon, a read gets what there is with its age. When there is nothing, it gets
// the source's error.
package cache

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"pullwatch/internal/pull"
)

// How long a list that nobody refreshes is answered with.
const (
	ActiveTTL = 5 * time.Second
	failedTTL = 30 * time.Second
)

const (
	// memoryTTL bounds how long a replica may not notice what another one wrote to Redis. With refreshPause, for which a
	// change may wait until it is written there, it leaves every replica within 500 ms of the change.
	memoryTTL = 200 * time.Millisecond
	// loadTimeout bounds a load, with the wait for another replica's. It goes on when those who asked give up.
	loadTimeout = 15 * time.Second
	// retryPause is how long a load that failed is not tried again.
	retryPause = time.Second
	// loadPatience is how long a load may take before a read prefers an older answer.
	loadPatience = time.Second
)

// Snapshot is both lists as of one moment. The pulls and the slices are shared and not changed.
type Snapshot struct {
	// Active is sorted as pull.SortActive does it, Failed as pull.SortFailed.
	Active, Failed []*pull.Job
	// Version is a resourceVersion of Jobs: the lists show every change up to it.
	Version uint64
	// AsOf is when the lists were taken, and Proven when they were last known to be true: the cluster was seen to have told
	// everything up to then. Of what a Source has loaded neither need be set.
	AsOf, Proven time.Time
}

func (s *Snapshot) jobs(k kind) []*pull.Job {
	if k == active {
		return s.Active
	}
	return s.Failed
}

// Source is where lists come from when nobody has them: Kubernetes.
type Source interface {
	// Load lists the pulls. The snapshot shows every change that was made before the call. Errors are for the caller
	// of a list query to see.
	Load(context.Context) (Snapshot, error)
}

// Local is what this replica knows by itself. Its methods are called often and return at once.
type Local interface {
	// Watching reports whether this replica's own watch is live: Snapshot is as new as any can be.
	Watching() bool
	// Current reports whether Snapshot is complete and at most moments behind, by this replica's own watch or by what
	// the one that watches tells. A mutation through this replica is in it once the mutation has returned.
	Current() bool
	// Snapshot returns the lists as they are known.
	Snapshot() Snapshot
	// Changed returns a channel that has a value once some pull has changed, and the function that ends the
	// subscription.
	Changed() (<-chan struct{}, func())
}

// Options are what Lists work with. What is not said to be optional is required.
type Options struct {
	Source Source
	Local  Local
	// Redis is nil for lists that are kept in memory only. Its ContextTimeoutEnabled is set, for reads give it 100 ms,
	// and a breaker stands before it. The caller closes it after Run has returned.
	Redis redis.UniversalClient
	// Keys is what all keys in Redis begin with; for Redis Cluster it has a hash tag. Replicas with the same Keys
	// share their lists.
	Keys string
	// Leads reports whether this replica writes its own lists to Redis ahead of reads; nil is never.
	Leads func() bool
	// Away reports whether Kubernetes does not answer at the moment, so that Source is not asked; nil is never.
	Away    func() bool
	Metrics *Metrics
	Log     *slog.Logger
}

// Lists answers with the lists of pulls. It is for any number of goroutines.
type Lists struct {
	source      Source
	local       Local
	shared      *shared // nil without Redis
	leads, away func() bool
	metrics     *Metrics
	log         *slog.Logger

	memory      [kinds]atomic.Pointer[entry]
	generations atomic.Uint64               // the last one
	required    atomic.Pointer[requirement] // of reads that begin now; never nil
	refreshes   flights[both]
	loads       flights[loaded]
	lastFailure atomic.Pointer[failure] // of a load; nil for none
	writes      mailbox

	// life ends with Run; what reads began goes on until then, whoever gives up.
	life context.Context
	end  context.CancelFunc
}

// NewLists returns empty Lists. They answer at once; Run, which is called once, keeps them and ends what they began.
func NewLists(o Options) *Lists {
	l := &Lists{
		source: o.Source, local: o.Local, leads: o.Leads, away: o.Away, metrics: o.Metrics, log: o.Log,
		writes: mailbox{filled: make(chan struct{}, 1)},
	}
	if o.Redis != nil {
		l.shared = newShared(o.Redis, o.Keys)
	}
	l.required.Store(&requirement{})
	l.life, l.end = context.WithCancel(context.Background())
	return l
}

// Result is the answer to a list query.
type Result struct {
	// Jobs is shared and must not be changed.
	Jobs []*pull.Job
	// Generation is never 0, and the same as an earlier Result's of the same method only if the list, before a limit cut
	// it, is the same.
	Generation uint64
	// Age is how long ago the list was last known to be true, on whichever replica.
	Age time.Duration
	// Stale is set when the list is older than its time to live, or than what Require asks for, because nothing newer
	// can be had at the moment.
	Stale bool
}

// Active returns the pulls that have not ended, newest first. An error is the source's, a usererr.Unavailable while
// Kubernetes is away, or ctx's.
func (l *Lists) Active(ctx context.Context) (Result, error) { return l.read(ctx, active) }

// Failed returns at most limit failed pulls, the latest first. Errors are as Active's.
func (l *Lists) Failed(ctx context.Context, limit int) (Result, error) {
	r, err := l.read(ctx, failed)
	r.Jobs = r.Jobs[:min(limit, len(r.Jobs))]
	return r, err
}

// requirement is what a list must show: so many mutations of this replica, of which version is the highest. Mutations
// that run at the same time return in another order than that of their versions. So a list that shows one of them says
// nothing of those with lower versions, unless it shows every change up to there.
type requirement struct{ mutations, version uint64 }

// Require makes reads that begin from now on show a mutation that led to version, a resourceVersion of Jobs. It is called
// once the mutation has returned, so that the next query on this replica shows it.
func (l *Lists) Require(version uint64) {
	for {
		old := l.required.Load()
		required := &requirement{mutations: old.mutations + 1, version: max(old.version, version)}
		if l.required.CompareAndSwap(old, required) {
			return
		}
	}
}

// Warm reads the lists once, so that the first query finds them in memory. Errors are as Active's.
func (l *Lists) Warm(ctx context.Context) error {
	for k := range kinds {
		if _, _, err := l.find(ctx, k); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lists) read(ctx context.Context, k kind) (Result, error) {
	e, from, err := l.find(ctx, k)
	if err != nil {
		return Result{}, err
	}
	age := max(0, time.Since(e.proven))
	l.metrics.read(k, from, age)
	return Result{Jobs: e.jobs, Generation: e.generation, Age: age, Stale: from == tierStale}, nil
}

// find returns the list and the tier that it comes from. Errors are as Active's.
func (l *Lists) find(ctx context.Context, k kind) (*entry, tier, error) {
	required := *l.required.Load()
	if e := l.memory[k].Load(); l.fresh(e, required) {
		return e, e.again, nil
	}
	refresh, err := l.refreshes.join(required, l.refresh)
	if err != nil {
		return nil, 0, err
	}
	select {
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	case <-refresh.landed:
	}
	if e := refresh.result[k]; l.fresh(e, required) {
		return e, e.from, nil
	}
	return l.awaitLoad(ctx, k, required)
}

// awaitLoad returns what a load brings, or what memory has when that fails or takes long.
func (l *Lists) awaitLoad(ctx context.Context, k kind, required requirement) (*entry, tier, error) {
	load, err := l.loads.join(required, l.load)
	if err != nil {
		return nil, 0, err
	}
	var overdue <-chan time.Time
	if l.memory[k].Load() != nil {
		patience := time.NewTimer(time.Until(load.began.Add(loadPatience)))
		defer patience.Stop()
		overdue = patience.C
	}
	select {
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	case <-overdue: // memory has something, and keeps it
	case <-load.landed:
		if load.result.err == nil {
			e := load.result.found[k]
			return e, e.from, nil
		}
	}
	l.takeReturned()
	e := l.memory[k].Load()
	if e == nil {
		return nil, 0, load.result.err
	}
	return e, e.lateTier(k, required, time.Now()), nil
}
