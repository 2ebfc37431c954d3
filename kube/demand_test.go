package kube

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pullwatch/internal/broadcast"
	"pullwatch/internal/feed"
	"pullwatch/internal/pull"
)

func (r *replica) demands() int {
	r.watch.mu.Lock()
	defer r.watch.mu.Unlock()
	return r.watch.demands
}

func (r *replica) tracked() int {
	r.tracker.mu.Lock()
	defer r.tracker.mu.Unlock()
	return len(r.tracker.pulls)
}

func TestTheClusterIsWatchedOnlyWhileDemanded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newAPI(t)
		r := newReplicaOf(t, api, feed.New("a"))
		r.hub.SetSynced()
		r.run(t, nil)
		r.start(t, "nginx")
		synctest.Wait()
		if r.role.Watches() || r.tracked() != 0 || r.watch.jobs.opens.Load() != 0 {
			t.Error("it watches although nobody demands it")
		}
		first, second := r.watch.Demand(), r.watch.Demand()
		if err := r.watch.AwaitSync(t.Context()); err != nil {
			t.Fatal(err)
		}
		first()
		first()
		synctest.Wait()
		if !r.role.Watches() || r.tracked() != 1 {
			t.Error("it does not watch although somebody demands it")
		}
		second()
		synctest.Wait()
		if r.role.Watches() || r.tracked() != 0 || r.watch.jobs.live() {
			t.Error("it watches although nobody demands it any more")
		}
		id := r.start(t, "redis")[0].ID
		r.watch.Demand()
		if err := r.watch.AwaitSync(t.Context()); err != nil || r.tracked() != 2 {
			t.Errorf("%d pulls after it was demanded again, %v", r.tracked(), err)
		}
		if state := r.hub.Latest(id); state.Phase != pull.Queued {
			t.Errorf("%+v", state)
		}
	})
}

func TestALeaderThatComesBackWaitsUntilItHasSyncedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplicaOf(t, newAPI(t), feed.New("a"))
		r.refuse.on.Store(true)
		r.run(t, nil)
		for range 3 {
			r.watch.Demand()()
			release := r.watch.Demand()
			synctest.Wait()
			r.refuse.on.Store(false)
			if err := r.watch.AwaitSync(t.Context()); err != nil {
				t.Fatal(err)
			}
			r.tracker.mu.Lock()
			if !r.tracker.synced {
				t.Error("synced before everything was published")
			}
			r.tracker.mu.Unlock()
			r.refuse.on.Store(true)
			release()
			r.refuse.cut()
			synctest.Wait()
		}
	})
}

// sharedLog is a SharedLog that is live when the test says so.
type sharedLog struct {
	live    atomic.Bool
	changed broadcast.Signal
}

func (s *sharedLog) Live() bool                             { return s.live.Load() }
func (s *sharedLog) LiveChanged() (<-chan struct{}, func()) { return s.changed.Subscribe() }

func (s *sharedLog) set(live bool) {
	s.live.Store(live)
	s.changed.Notify()
	synctest.Wait()
}

func TestUpdatesGoOnWhileTheSharedLogIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplicaOf(t, newAPI(t), feed.New("a"))
		s := &sharedLog{}
		s.live.Store(true)
		over := make(chan error)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { over <- StandIn(ctx, r.watch, s) }()
		expect := func(when string, want int) {
			t.Helper()
			synctest.Wait()
			if got := r.demands(); got != want {
				t.Errorf("%s: %d demands, want %d", when, got, want)
			}
		}
		expect("live", 0)
		s.set(false)
		time.Sleep(standInAfter / 2) // of the bubble's time
		s.set(true)
		time.Sleep(standInAfter)
		expect("away for a moment", 0)
		s.set(false)
		time.Sleep(standInAfter / 2)
		s.set(false)
		time.Sleep(standInAfter)
		expect("away", 1)
		s.set(true)
		expect("back", 0)
		s.set(false)
		time.Sleep(2 * standInAfter)
		expect("away again", 1)
		cancel()
		if err := <-over; err != nil {
			t.Error(err)
		}
		expect("stopped", 0)
	})
}
