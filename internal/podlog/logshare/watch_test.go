package logshare

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pullwatch/internal/podlog"
	"pullwatch/internal/usererr"
)

var target = podlog.Target{Namespace: "default", Pod: "web"}

// named is a snapshot that differs from those of other names.
func named(name string) podlog.Snapshot { return podlog.Snapshot{Empty: name} }

func TestAWatchIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		s := newTestSource(c)
		c.show(named("first"))

		var watching sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		opener, cancelOpener := context.WithCancel(ctx)
		subscribe := func(ctx context.Context) (shown func() []string) {
			var mu sync.Mutex
			var names []string
			watching.Go(func() {
				err := s.WatchPods(ctx, target, func(snapshot podlog.Snapshot) {
					mu.Lock()
					defer mu.Unlock()
					names = append(names, snapshot.Empty)
				})
				if !errors.Is(err, context.Canceled) {
					t.Errorf("watch ended with %v", err)
				}
			})
			synctest.Wait()
			return func() []string {
				synctest.Wait()
				mu.Lock()
				defer mu.Unlock()
				return names
			}
		}
		want := func(got []string, want ...string) {
			t.Helper()
			if len(got) != len(want) {
				t.Fatalf("got %q, want %q", got, want)
			}
			for i := range want {
				if got[i] != want[i] {
					t.Fatalf("got %q, want %q", got, want)
				}
			}
		}
		a := subscribe(opener)
		b := subscribe(ctx)
		want(a(), "first")
		want(b(), "first")
		c.show(named("second"))
		want(a(), "first", "second")
		cancelOpener()
		synctest.Wait()
		c.show(named("third"))
		synctest.Wait()
		late := subscribe(ctx)
		want(late(), "third")
		want(a(), "first", "second")
		want(b(), "first", "second", "third")
		if watched, watching := c.watches(); watched != 1 || watching != 1 {
			t.Errorf("%d watches, %d go on", watched, watching)
		}
		cancel()
		watching.Wait()
		if _, watching := c.watches(); watching != 0 || len(s.watches) != 0 {
			t.Errorf("%d watches are open, %d are still used", watching, len(s.watches))
		}
	})
}

// A slow subscriber gets the latest snapshot next.
func TestASlowSubscriberHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		s := newTestSource(c)
		c.show(named("first"))
		ctx, cancel := context.WithCancel(t.Context())
		var slow, quick []string
		release := make(chan struct{})
		var watching sync.WaitGroup
		watching.Go(func() {
			s.WatchPods(ctx, target, func(snapshot podlog.Snapshot) {
				slow = append(slow, snapshot.Empty)
				<-release
			})
		})
		watching.Go(func() {
			s.WatchPods(ctx, target, func(snapshot podlog.Snapshot) { quick = append(quick, snapshot.Empty) })
		})
		for _, name := range []string{"second", "third"} {
			synctest.Wait()
			c.show(named(name))
		}
		synctest.Wait()
		close(release)
		synctest.Wait()
		cancel()
		watching.Wait()
		if len(slow) != 2 || slow[1] != "third" || len(quick) != 3 {
			t.Errorf("slow: %q, quick: %q", slow, quick)
		}
	})
}

// An error reaches all subscribers, and no later one.
func TestAnErrorOfAWatchIsNotCached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		s := newTestSource(c)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		errs := make(chan error, 10)
		watch := func() {
			go func() { errs <- s.WatchPods(ctx, target, func(podlog.Snapshot) {}) }()
			synctest.Wait()
		}
		for _, shown := range []bool{false, true} {
			if shown {
				c.show(named("first"))
			}
			watch()
			watch()
			c.failWatches(usererr.New(usererr.Forbidden, "no"))
			for range 2 {
				if err := <-errs; usererr.CodeOf(err) != usererr.Forbidden {
					t.Errorf("got %v", err)
				}
			}
			c.failWatches(nil)
		}
		watch()
		if _, watching := c.watches(); watching != 1 {
			t.Errorf("%d watches go on", watching)
		}
		cancel()
		<-errs
	})
}

// No snapshot is delivered after WatchPods has returned.
func TestSnapshotsComeInOrderWhileSubscribersLeave(t *testing.T) {
	c := newCluster()
	s := newTestSource(c)
	var watchers sync.WaitGroup
	for seed := range uint64(200) {
		watchers.Go(func() {
			random := rand.New(rand.NewPCG(seed, 0))
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(20e6)))
			defer cancel()
			returned, last := false, -1
			s.WatchPods(ctx, target, func(snapshot podlog.Snapshot) {
				if returned || len(snapshot.Pods) <= last {
					t.Error("a snapshot came late")
				}
				last = len(snapshot.Pods)
			})
			returned = true
		})
		c.show(podlog.Snapshot{Pods: make([]podlog.Pod, seed)})
	}
	watchers.Wait()
	if _, watching := c.watches(); watching != 0 {
		t.Errorf("%d watches go on", watching)
	}
}
