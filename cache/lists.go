// Package cache answers list queries without asking Kubernetes each time.
//
// A read takes the first of these that is fresh:
//
//   - memory: the entry that this replica has cached. It is fresh for 200 ms; without Redis, for the list's time to live; on a
//     replica that watches, until a pull changes.
//   - watch: what this replica's own watch knows.
//   - redis: what a replica has written to Redis.
//   - what the shared log has brought to this replica. This counts as watch, too: another replica's.
//   - kubernetes: a load. It fills Redis after the read has its answer.
//
// These are the tiers. To refresh is to look in all but the last. A refresh and a load each bring both lists, and concurrent
// reads share one. A short lease in Redis makes even replicas that have cached nothing share one load. The leader writes the
// lists to Redis as they change and before they expire. So while there is a leader, reads do not reach Kubernetes.
//
// If a read cannot have anything fresh, or not soon, it gets what is cached, with its age: stale, if that is more than the time
// to live. If nothing is cached, it gets the error of the load.
package cache

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"pullwatch/internal/pull"
)

// How old a list may be before it is stale. Redis keeps it longer by retention, for when Kubernetes is away.
const (
	ActiveTTL = 5 * time.Second
	failedTTL = 30 * time.Second
)

const (
	// memoryTTL is how long a list is served from memory without a look in Redis. A change may wait refreshPause until it is
	// written there. So every replica shows it within 500 ms.
	memoryTTL = 200 * time.Millisecond
	// loadTimeout bounds a load, and the wait for another replica's load before it. A load goes on when its readers give up.
	loadTimeout = 15 * time.Second
	// retryPause is how long after a failed load there is no other.
	retryPause = time.Second
	// maxLoadWait is how long a read waits for a load. Then it takes an older list.
	maxLoadWait = time.Second
)

// Snapshot is both lists as of one moment. It must not be changed, for many use it.
type Snapshot struct {
	// Active is in the order of pull.SortActive, Failed in that of pull.SortFailed.
	Active, Failed []*pull.State
	// Version is a resourceVersion of Jobs up to which the lists show every change.
	Version uint64
	// AsOf is when the lists were taken. Proven is when they were last known to be true: they show everything that had happened
	// in the cluster by then. A Source need set neither.
	AsOf, Proven time.Time
}

func (s *Snapshot) states(k kind) []*pull.State {
	if k == active {
		return s.Active
	}
	return s.Failed
}

// Source is where a load gets the lists: Kubernetes.
type Source interface {
	// Load returns the lists. They show every change that was made before the call. Clients see its error.
	Load(context.Context) (Snapshot, error)
}

// Local is what this replica knows of pulls already. Its methods are called often and return at once.
type Local interface {
	// Watching reports whether this replica's own watch is live. Then nothing is newer than Snapshot.
	Watching() bool
	// Current reports whether Snapshot is complete and at most moments behind, because this replica's own watch is live or
	// the shared log is. Such a Snapshot shows every mutation through this replica that has returned.
	Current() bool
	// Snapshot returns the lists as this replica knows them.
	Snapshot() Snapshot
	// Latest returns the latest known state of a pull, even if it has ended; nil when the pull is not known.
	Latest(id string) *pull.State
	// Changed returns a channel that has a value once some pull has changed, and the function that ends the
	// subscription.
	Changed() (<-chan struct{}, func())
}

// Options are what Lists work with.
type Options struct {
	Source Source
	Local  Local
	// Redis is nil for lists that are cached in memory only. It obeys the deadline of a context, which is 100 ms for reads, and
	// fails at once while Redis is away. The caller closes it after Run has returned.
	Redis redis.UniversalClient
	// Blocking is another client of that Redis, for one read at a time that waits up to 2 s for another replica's load. On Redis it
	// would keep a connection from those who need no such wait, and an answer that comes too late would count as a failure of Redis.
	Blocking redis.UniversalClient
	// Keys is the prefix of all keys in Redis, with a hash tag for Redis Cluster. Replicas with the same Keys share their
	// lists.
	Keys string
	// Leads reports whether this replica leads. If it does, it writes what it knows to Redis ahead of reads. Nil means never.
	Leads func() bool
	// Away reports whether Kubernetes does not answer at the moment. Then Source is not asked. Nil means never.
	Away    func() bool
	Metrics *Metrics
	Logger  *slog.Logger
}

// Lists answers list queries. It is for any number of goroutines.
type Lists struct {
	source      Source
	local       Local
	redis       *redisLists // nil without Redis
	leads, away func() bool
	metrics     *Metrics
	logger      *slog.Logger

	memory      [kinds]atomic.Pointer[entry]
	lastMerged  [kinds]atomic.Pointer[entry] // what merged returned last
	generations atomic.Uint64                // the last one
	required    atomic.Pointer[requirement]  // for reads that begin now; never nil
	refreshes   flights[both]
	loads       flights[loaded]
	lastFailure atomic.Pointer[failure] // of a load; nil for none
	writes      mailbox

	// life ends with Run. Until then refreshes and loads go on, even if the readers who began them give up.
	life context.Context
	end  context.CancelFunc
}

// NewLists returns empty Lists, which can be read at once. The caller calls Run.
func NewLists(o Options) *Lists {
	l := &Lists{
		source: o.Source, local: o.Local, leads: o.Leads, away: o.Away, metrics: o.Metrics, logger: o.Logger,
		writes: mailbox{filled: make(chan struct{}, 1)},
	}
	if o.Redis != nil {
		l.redis = newRedisLists(o.Redis, o.Blocking, o.Keys)
	}
	l.required.Store(&requirement{})
	l.life, l.end = context.WithCancel(context.Background())
	return l
}

// Result is the answer to a list query.
type Result struct {
	// States must not be changed: many use the slice.
	States []*pull.State
	// Generation is never 0. Results of one method with the same Generation have the same list, before a limit cuts it.
	Generation uint64
	// Age is how long ago the list was last known to be true, on whichever replica.
	Age time.Duration
	// Stale is set when the list is older than its time to live, or does not show what Require asks for, and nothing newer can
	// be had at the moment.
	Stale bool
}

// Active returns the pulls that have not ended, newest first. An error is that of Source or ctx, or a usererr.Unavailable while
// Kubernetes is away.
func (l *Lists) Active(ctx context.Context) (Result, error) { return l.read(ctx, active) }

// Failed returns at most limit failed pulls, the latest first. Errors are as Active's.
func (l *Lists) Failed(ctx context.Context, limit int) (Result, error) {
	r, err := l.read(ctx, failed)
	r.States = r.States[:min(limit, len(r.States))]
	return r, err
}

// requirement is what a list must show: so many of this replica's mutations, all of them with versions up to version. Concurrent
// mutations may return in another order than that of their versions. So a list that shows one of them need not show those with
// lower versions, unless it shows every change up to its own version.
type requirement struct{ mutations, version uint64 }

// Require is called by a mutation that is about to return. Reads that begin after it show the mutation, which led to version, a
// resourceVersion of Jobs.
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

// awaitLoad returns what a load brings, or what is in memory if the load fails or takes long.
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
