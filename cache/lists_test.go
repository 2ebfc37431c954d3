package cache

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"pullwatch/internal/pull"
	"pullwatch/internal/redis/redistest"
)

func TestMain(m *testing.M) { redistest.VerifyTestMain(m) }

var errSource = errors.New("the source is away")

// source is a cluster whose version grows with each load. Each list has as many pulls as its version says.
type source struct {
	version, loads atomic.Int64
	fails          atomic.Bool
	slow           chan struct{} // when not nil, a load waits for it
}

func (s *source) Load(ctx context.Context) (Snapshot, error) {
	s.loads.Add(1)
	snapshot := snapshotOf(int(s.version.Add(1)))
	if s.slow != nil {
		select {
		case <-s.slow:
		case <-ctx.Done():
			return Snapshot{}, ctx.Err()
		}
	}
	if s.fails.Load() {
		return Snapshot{}, errSource
	}
	return snapshot, nil
}

// snapshotOf returns lists that have as many pulls as their version says.
func snapshotOf(version int) Snapshot {
	list := func(phase pull.Phase) []*pull.State {
		states := make([]*pull.State, version)
		for i := range states {
			states[i] = &pull.State{ID: strconv.Itoa(i), Phase: phase, Message: "as of " + strconv.Itoa(version)}
		}
		return states
	}
	return Snapshot{Active: list(pull.Pulling), Failed: list(pull.Failed), Version: uint64(version)}
}

// local is a replica's knowledge, which the test sets.
type local struct {
	watching, current atomic.Bool
	snapshot          atomic.Pointer[Snapshot]
	hungAt            atomic.Pointer[time.Time] // when the watch was last proven; nil for just now
	changed           chan struct{}
	latest            map[string]*pull.State // of pulls that the snapshot may lack
}

func newLocal() *local {
	l := &local{changed: make(chan struct{}, 1)}
	l.snapshot.Store(&Snapshot{})
	return l
}

func (l *local) Watching() bool { return l.watching.Load() }
func (l *local) Current() bool  { return l.watching.Load() || l.current.Load() }
func (l *local) Snapshot() Snapshot {
	s := *l.snapshot.Load()
	s.AsOf = time.Now()
	s.Proven = s.AsOf
	if at := l.hungAt.Load(); at != nil {
		s.Proven = *at
	}
	return s
}
func (l *local) Latest(id string) *pull.State       { return l.latest[id] }
func (l *local) Changed() (<-chan struct{}, func()) { return l.changed, func() {} }

// know makes the replica know the lists of a version.
func (l *local) know(version int) {
	snapshot := snapshotOf(version)
	l.snapshot.Store(&snapshot)
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// newLists returns Lists that run until the test ends or stop is called.
func newLists(t testing.TB, o Options) (lists *Lists, stop func()) {
	o.Logger = slog.New(slog.DiscardHandler)
	o.Metrics = NewMetrics(prometheus.NewRegistry())
	if o.Local == nil {
		o.Local = newLocal()
	}
	l := NewLists(o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- l.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return l, stop
}

// expect reads a list and compares its version, which is how many pulls it has, and where it came from.
func expect(t testing.TB, l *Lists, k kind, version int, from tier) {
	t.Helper()
	e, got, err := l.find(t.Context(), k)
	if err != nil {
		t.Errorf("%v: %v", k, err)
		return
	}
	if len(e.states) != version || got != from {
		t.Errorf("%v of version %d from %v, want version %d from %v", k, len(e.states), got, version, from)
	}
}

// expire makes the lists in memory older, as if so much time had passed.
func expire(l *Lists, age time.Duration) {
	for k := range kinds {
		if e := l.memory[k].Load(); e != nil {
			older := *e
			older.asOf, older.proven, older.freshUntil = e.asOf.Add(-age), e.proven.Add(-age), e.freshUntil.Add(-age)
			l.memory[k].Store(&older)
		}
	}
}

func TestListsAreLoadedAgainAfterTheirTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := newLists(t, Options{Source: &source{}})
		expect(t, l, active, 1, tierKubernetes)
		expect(t, l, failed, 1, tierMemory) // one load is for both
		time.Sleep(ActiveTTL - 1)           // fake time
		expect(t, l, active, 1, tierMemory)
		time.Sleep(time.Nanosecond) // fake time
		expect(t, l, failed, 1, tierMemory)
		expect(t, l, active, 2, tierKubernetes)
		time.Sleep(failedTTL) // fake time
		expect(t, l, failed, 3, tierKubernetes)
	})
}

func TestOneLoadServesEveryLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{}
		s.version.Store(9)
		l, _ := newLists(t, Options{Source: s})
		for _, c := range []struct{ limit, want int }{{3, 3}, {10, 10}, {500, 10}} {
			r, err := l.Failed(t.Context(), c.limit)
			if err != nil || len(r.States) != c.want {
				t.Errorf("limit %d: %d pulls, %v", c.limit, len(r.States), err)
			}
		}
		if n := s.loads.Load(); n != 1 {
			t.Errorf("%d loads", n)
		}
	})
}

func TestConcurrentReadersShareOneLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{slow: make(chan struct{})}
		l, _ := newLists(t, Options{Source: s})
		impatient, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := l.Active(impatient); !errors.Is(err, context.Canceled) {
				t.Errorf("gave up, but got %v", err)
			}
		})
		synctest.Wait()
		for range 50 {
			wg.Go(func() {
				if r, err := l.Active(t.Context()); err != nil || len(r.States) != 1 {
					t.Errorf("%d pulls, %v", len(r.States), err)
				}
			})
		}
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(s.slow)
		wg.Wait()
	})
}

func TestAListShowsMutationsThatReturnedBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{slow: make(chan struct{})}
		l, _ := newLists(t, Options{Source: s})
		read := func() chan int {
			got := make(chan int, 1)
			go func() {
				r, _ := l.Active(t.Context())
				got <- len(r.States)
			}()
			synctest.Wait()
			return got
		}
		before := read()
		l.Require(2) // while a load is under way that may have missed the change
		l.Require(1)
		after := read()
		close(s.slow)
		if b, a := <-before, <-after; b != 1 || a != 2 {
			t.Errorf("the read before got load %d, the one after got load %d", b, a)
		}
		expect(t, l, active, 2, tierMemory)
		// A load that begins after a mutation shows it, whatever its version is.
		l.Require(100)
		expect(t, l, active, 3, tierKubernetes)
		expect(t, l, active, 3, tierMemory)
	})
}

func TestListsFollowThisReplicasWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, w := &source{}, newLocal()
		w.watching.Store(true)
		l, _ := newLists(t, Options{Source: s, Local: w})
		w.know(1)
		synctest.Wait()
		expect(t, l, active, 1, tierMemory)
		w.know(2)
		synctest.Wait()
		expect(t, l, active, 1, tierMemory) // too soon after the other change
		l.Require(2)
		expect(t, l, active, 2, tierWatch)
		w.know(3)
		time.Sleep(refreshPause) // fake time
		synctest.Wait()
		expect(t, l, active, 3, tierMemory)
		time.Sleep(2 * ActiveTTL) // fake time
		expect(t, l, active, 3, tierMemory)
		w.watching.Store(false)
		w.know(4)                // the watch is open again, but not yet live
		time.Sleep(refreshPause) // fake time
		synctest.Wait()
		w.watching.Store(true)
		expect(t, l, active, 4, tierWatch)
		w.watching.Store(false)
		s.version.Store(4)
		expect(t, l, active, 5, tierKubernetes)
		w.know(6)
		w.watching.Store(true)
		expect(t, l, active, 6, tierWatch)
	})
}

func TestListsFromTheSharedLogNeedNoLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, w := &source{}, newLocal()
		w.current.Store(true)
		w.know(5)
		l, _ := newLists(t, Options{Source: s, Local: w})
		expect(t, l, failed, 5, tierWatch)
		w.know(6)
		time.Sleep(memoryTTL - 1) // fake time
		expect(t, l, failed, 5, tierMemory)
		time.Sleep(time.Nanosecond) // fake time
		expect(t, l, failed, 6, tierWatch)
		if n := s.loads.Load(); n != 0 {
			t.Errorf("%d loads", n)
		}
	})
}

func TestRunEndsLoadsThatAreUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{slow: make(chan struct{})} // never done
		l, stop := newLists(t, Options{Source: s})
		got := make(chan error, 1)
		go func() {
			_, err := l.Active(t.Context())
			got <- err
		}()
		synctest.Wait()
		stop()
		if err := <-got; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if err := l.Warm(t.Context()); !errors.Is(err, errEnded) {
			t.Error(err)
		}
	})
}

func TestReadsAreCountedByTier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := newLists(t, Options{Source: &source{}})
		for range 10 {
			if _, err := l.Active(t.Context()); err != nil {
				t.Error(err)
			}
		}
		for from, want := range map[tier]float64{tierKubernetes: 1, tierMemory: 9} {
			var m dto.Metric
			if err := l.metrics.reads[active][from].Write(&m); err != nil || m.GetCounter().GetValue() != want {
				t.Errorf("%v reads from %v, want %v; %v", m.GetCounter().GetValue(), from, want, err)
			}
		}
	})
}

// What this replica knows may be older than the lists in Redis, and yet show a mutation that they do not.
func TestMemoryKeepsAListThatShowsTheMutation(t *testing.T) {
	now := time.Now()
	fromRedis := &entry{version: 10, asOf: now.Add(-300 * time.Millisecond), stamp: "x"}
	own := &entry{version: 10, mutations: 1, asOf: now.Add(-time.Second)}
	l := &Lists{}
	l.store(both{fromRedis, fromRedis})
	l.store(both{own, own})
	if l.memory[active].Load() != own {
		t.Error("the list that shows the mutation was not kept")
	}
}
