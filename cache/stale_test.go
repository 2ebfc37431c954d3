package cache

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pullwatch/internal/pull"
	"pullwatch/internal/usererr"
)

func TestStaleListsAreServedWhileLoadsFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{}
		s.fails.Store(true)
		l, _ := newLists(t, Options{Source: s})
		if _, err := l.Active(t.Context()); !errors.Is(err, errSource) {
			t.Errorf("nothing is known, but: %v", err)
		}
		s.fails.Store(false)
		time.Sleep(retryPause) // fake time
		expect(t, l, active, 2, tierKubernetes)
		s.fails.Store(true)
		time.Sleep(10 * time.Second) // fake time
		for range 2 {
			r, err := l.Active(t.Context())
			if err != nil || len(r.States) != 2 || r.Age != 10*time.Second || !r.Stale {
				t.Errorf("%d pulls, age %v, stale %v, %v", len(r.States), r.Age, r.Stale, err)
			}
		}
		if n := s.loads.Load(); n != 3 {
			t.Errorf("%d loads; right after one that failed there is to be no other", n)
		}
		r, err := l.Failed(t.Context(), 100)
		if err != nil || len(r.States) != 2 || r.Stale {
			t.Errorf("failed: %d pulls, stale %v, %v", len(r.States), r.Stale, err)
		}
		l.Require(100)
		if r, err := l.Failed(t.Context(), 100); err != nil || !r.Stale {
			t.Errorf("after a mutation that it does not show: stale %v, %v", r.Stale, err)
		}
		s.fails.Store(false)
		time.Sleep(5 * time.Second) // fake time
		expect(t, l, active, int(s.version.Load())+1, tierKubernetes)
	})
}

func TestASlowLoadDelaysReadsByASecondAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{}
		l, _ := newLists(t, Options{Source: s})
		expect(t, l, active, 1, tierKubernetes)
		s.slow = make(chan struct{})
		time.Sleep(ActiveTTL) // fake time
		began := time.Now()
		for range 3 {
			expect(t, l, active, 1, tierStale)
			if waited := time.Since(began); waited != maxLoadWait {
				t.Errorf("waited %v", waited)
			}
		}
		close(s.slow) // the load has gone on
		synctest.Wait()
		expect(t, l, active, 2, tierMemory)
	})
}

func TestAMutationShowsInAListThatIsOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, w := &source{}, newLocal()
		l, _ := newLists(t, Options{Source: s, Local: w})
		w.know(1)
		expect(t, l, active, 1, tierKubernetes)
		hung := time.Now()
		w.hungAt.Store(&hung)
		s.slow = make(chan struct{})
		defer close(s.slow)
		time.Sleep(2 * ActiveTTL) // fake time
		known := snapshotOf(2)
		known.Version = 1 // no watch has said how far the cluster is
		w.snapshot.Store(&known)
		l.Require(2)
		r, err := l.Active(t.Context())
		if err != nil || len(r.States) != 2 || !r.Stale || r.Age != 2*ActiveTTL+maxLoadWait {
			t.Errorf("%d pulls, stale %v, age %v, %v", len(r.States), r.Stale, r.Age, err)
		}
		w.know(0)
		l.Require(3)
		expect(t, l, active, 2, tierStale) // this replica knows nothing newer
	})
}

// While no watch says how far the cluster is, a list from Redis may be newer than what this replica knows, and yet lack what this
// replica has just done.
func TestAMutationShowsInAnOldListOfALaterVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state := func(id string, phase pull.Phase, version uint64) *pull.State {
			return &pull.State{ID: id, Phase: phase, Revision: pull.Revision{Cluster: version}}
		}
		s, w := &source{}, newLocal()
		l, _ := newLists(t, Options{Source: s, Local: w})
		l.store(both{
			{states: []*pull.State{state("running", pull.Pulling, 40), state("canceled", pull.Pulling, 45)}, version: 50},
			{states: []*pull.State{state("retried", pull.Failed, 30)}, version: 50},
		})
		s.slow = make(chan struct{})
		defer close(s.slow)
		w.snapshot.Store(&Snapshot{Version: 10, Active: []*pull.State{
			state("running", pull.Queued, 10), state("gone", pull.Queued, 9), state("started", pull.Queued, 60), state("retry", pull.Queued, 62),
		}})
		w.latest = map[string]*pull.State{
			"running": state("running", pull.Queued, 10), "canceled": state("canceled", pull.Canceled, 61), "retried": state("retried", pull.Failed, 30),
		}
		l.Require(62)
		for k, want := range map[kind]string{active: "[retry QUEUED running PULLING started QUEUED]", failed: "[]"} {
			r, err := l.read(t.Context(), k)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, state := range r.States {
				got = append(got, state.ID+" "+string(state.Phase))
			}
			slices.Sort(got)
			if fmt.Sprint(got) != want || !r.Stale {
				t.Errorf("%v: %v, stale %v; want %s", k, got, r.Stale, want)
			}
			if again, err := l.read(t.Context(), k); err != nil || again.Generation != r.Generation {
				t.Errorf("%v: the same list is of generation %d and then %d, %v", k, r.Generation, again.Generation, err)
			}
		}
	})
}

func TestALoadThatFailedIsNotTriedAgainAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{}
		s.fails.Store(true)
		l, _ := newLists(t, Options{Source: s})
		for loads := range int64(3) {
			for range 20 {
				if _, err := l.Active(t.Context()); !errors.Is(err, errSource) {
					t.Errorf("%v", err)
				}
			}
			if n := s.loads.Load(); n != loads+1 {
				t.Errorf("after %v, %d loads of a source that fails", time.Duration(loads)*retryPause, n)
			}
			time.Sleep(retryPause) // fake time
		}
	})
}

func TestListsAnswerAtOnceWhileKubernetesIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var away atomic.Bool
		s := &source{}
		l, _ := newLists(t, Options{Source: s, Away: away.Load})
		cold, _ := newLists(t, Options{Source: s, Away: away.Load})
		expect(t, l, active, 1, tierKubernetes)
		away.Store(true)
		s.slow = make(chan struct{}) // a load would hang
		time.Sleep(ActiveTTL + 1)    // fake time
		began := time.Now()
		for range 3 {
			expect(t, l, active, 1, tierStale)
			if _, err := cold.Active(t.Context()); usererr.CodeOf(err) != usererr.Unavailable {
				t.Errorf("%v", err)
			}
		}
		if waited, n := time.Since(began), s.loads.Load(); waited > 0 || n > 1 {
			t.Errorf("reads took %v and led to %d loads", waited, n-1)
		}
		away.Store(false)
		close(s.slow)
		time.Sleep(memoryTTL) // fake time
		expect(t, l, active, 2, tierKubernetes)
		expect(t, cold, active, 3, tierKubernetes)
	})
}
