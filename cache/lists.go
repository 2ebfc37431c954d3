// Package cache answers list queries without asking Kubernetes each time.
//
// A read takes the first of these that is fresh: this replica's memory (200 ms; without Redis, the list's time to live;
// on a replica that watches, until a pull changes), what its own watch knows, Redis, what the shared log has brought, and at last a load from Kubernetes. A load fills Redis after the read has its
// answer. Each of these gives both lists at once, and concurrent reads share one. A short lease in Redis makes even cold
// replicas share one load. The leader writes the lists to Redis as they change and before they expire, so while there is a
// leader, reads do not reach Kubernetes.
//
// When nothing fresh can be had, or not soon, a read gets the cached lists with their age. When nothing is cached, it gets
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

// How old a list may be before it is stale.
const (
	ActiveTTL = 5 * time.Second
	failedTTL = 30 * time.Second
)

const (
	// memoryTTL is how long a list is served from memory without looking in Redis. A change may wait refreshPause until it
	// is written there, so every replica shows it within 500 ms.
	memoryTTL = 200 * time.Millisecond
	// loadTimeout bounds a load, with the wait for another replica's. A load goes on when its readers give up.
	loadTimeout = 15 * time.Second
	// retryPause is how long a load that failed is not tried again.
	retryPause = time.Second
	// maxLoadWait is how long a read waits for a load before it takes an older list.
	maxLoadWait = time.Second
)

// Snapshot is both lists as of one moment. The pulls and the slices are shared and not changed.
type Snapshot struct {
	// Active is sorted as pull.SortActive does it, Failed as pull.SortFailed.
	Active, Failed []*pull.State
	// Version is a resourceVersion of Jobs: the lists show every change up to it.
	Version uint64
	// AsOf is when the lists were taken. Proven is when they were last known to be true: everything that the cluster had
	// done by then had arrived. A Source need set neither.
	AsOf, Proven time.Time
}

func (s *Snapshot) states(k kind) []*pull.State {
	if k == active {
		return s.Active
	}
	return s.Failed
}

// Source is where lists come from when they are cached nowhere: Kubernetes.
type Source interface {
	// Load lists the pulls. The snapshot shows every change that was made before the call. The caller of a list query
	// sees the error.
	Load(context.Context) (Snapshot, error)
}

// Local is what this replica knows by itself. Its methods are called often and return at once.
type Local interface {
	// Watching reports whether this replica's own watch is live: Snapshot is as new as any can be.
	Watching() bool
	// Current reports whether Snapshot is complete and at most moments behind, through this replica's own watch or the
	// shared log. It shows a mutation through this replica once the mutation has returned.
	Current() bool
	// Snapshot returns the lists as they are known.
	Snapshot() Snapshot
	// Latest returns the latest known state of a pull, also of one that has ended; nil when the pull is not known.
	Latest(id string) *pull.State
	// Changed returns a channel that has a value once some pull has changed, and the function that ends the
	// subscription.
	Changed() (<-chan struct{}, func())
}

// Options are what Lists work with.
type Options struct {
	Source Source
	Local  Local
	// Redis is nil for lists that are cached in memory only. Its ContextTimeoutEnabled is set, because reads give it 100 ms,
	// and it fails at once while Redis is away. The caller closes it after Run has returned.
	Redis redis.UniversalClient
	// Keys is the prefix of all keys in Redis, with a hash tag for Redis Cluster. Replicas with the same Keys share their
	// lists.
	Keys string
	// Leads reports whether this replica leads, and so writes its own lists to Redis ahead of reads; nil is never.
	Leads func() bool
	// Away reports whether Kubernetes does not answer at the moment, so that Source is not asked; nil is never.
	Away    func() bool
	Metrics *Metrics
	Logger  *slog.Logger
}

// Lists answers with the lists of pulls. It is for any number of goroutines.
type Lists struct {
	source      Source
	local       Local
	redis       *redisLists // nil without Redis
	leads, away func() bool
	metrics     *Metrics
	logger      *slog.Logger

	memory      [kinds]atomic.Pointer[entry]
	lastMerged  [kinds]atomic.Pointer[entry] // what merged returned
	generations atomic.Uint64                // the last one
	required    atomic.Pointer[requirement]  // of reads that begin now; never nil
	refreshes   flights[both]
	loads       flights[loaded]
	lastFailure atomic.Pointer[failure] // of a load; nil for none
	writes      mailbox

	// life ends with Run. Until then what a read began goes on, even if the reader gives up.
	life context.Context
	end  context.CancelFunc
}

// NewLists returns empty Lists. They can be read at once. Run is called once: it refreshes them, and ends what reads began.
func NewLists(o Options) *Lists {
	l := &Lists{
		source: o.Source, local: o.Local, leads: o.Leads, away: o.Away, metrics: o.Metrics, logger: o.Logger,
		writes: mailbox{filled: make(chan struct{}, 1)},
	}
	if o.Redis != nil {
		l.redis = newRedisLists(o.Redis, o.Keys)
	}
	l.required.Store(&requirement{})
	l.life, l.end = context.WithCancel(context.Background())
	return l
}

// Result is the answer to a list query.
type Result struct {
	// Jobs is shared and must not be changed.
	States []*pull.State
	// Generation is never 0. Results of the same method with the same Generation have the same list, before a limit cuts it.
	Generation uint64
	// Age is how long ago the list was last known to be true, on whichever replica.
	Age time.Duration
	// Stale is set when the list is older than its TTL, or does not show what Require asks for, because nothing newer can be
	// had at the moment.
	Stale bool
}

// Active returns the pulls that have not ended, newest first. An error is the source's, a usererr.Unavailable while
// Kubernetes is away, or ctx's.
func (l *Lists) Active(ctx context.Context) (Result, error) { return l.read(ctx, active) }

// Failed returns at most limit failed pulls, the latest first. Errors are as Active's.
func (l *Lists) Failed(ctx context.Context, limit int) (Result, error) {
	r, err := l.read(ctx, failed)
	r.States = r.States[:min(limit, len(r.States))]
	return r, err
}

// requirement is what a list must show: so many mutations of this replica, with versions up to version. Concurrent mutations
// may return in another order than that of their versions. So a list that shows one of them need not show those with lower
// versions, unless it shows every change up to its own version.
type requirement struct{ mutations, version uint64 }

// Require makes reads that begin from now on show a mutation that led to version, a resourceVersion of Jobs. The caller is a
// mutation that is about to return, so the next query on this replica shows it.
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
	return Result{States: e.states, Generation: e.generation, Age: age, Stale: from == tierStale}, nil
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

// awaitLoad returns what a load brings, or what is in memory when the load fails or takes long.
func (l *Lists) awaitLoad(ctx context.Context, k kind, required requirement) (*entry, tier, error) {
	load, err := l.loads.join(required, l.load)
	if err != nil {
		return nil, 0, err
	}
	var overdue <-chan time.Time
	if l.memory[k].Load() != nil {
		patience := time.NewTimer(time.Until(load.began.Add(maxLoadWait)))
		defer patience.Stop()
		overdue = patience.C
	}
	select {
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	case <-overdue: // there is something in memory
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
	if !e.shows(required) {
		e = l.merged(e, k)
	}
	return e, e.fallbackTier(k, required, time.Now()), nil
}
