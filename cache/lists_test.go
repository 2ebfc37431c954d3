package cache

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"pullwatch/pull"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// source counts its loads and answers with as many pulls as there were.
type source struct {
	loads atomic.Int32
	err   error
	slow  chan struct{} // when not nil, a load waits for it
}

func (s *source) Active(context.Context) ([]*pull.Job, error) {
	n := s.loads.Add(1)
	if s.slow != nil {
		<-s.slow
	}
	return make([]*pull.Job, n), s.err
}

func (s *source) Failed(ctx context.Context) ([]*pull.Job, error) { return s.Active(ctx) }

func newLists(s *source) *Lists { return NewLists(s, NewMetrics(prometheus.NewRegistry())) }

func TestListsLiveAsLongAsTheyMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{}
		l := newLists(s)
		loadsAfter := func(wait time.Duration, read func() error, want int32) {
			t.Helper()
			time.Sleep(wait) // fake time
			if err := read(); err != nil || s.loads.Load() != want {
				t.Errorf("%d loads, %v; want %d", s.loads.Load(), err, want)
			}
		}
		active := func() error { _, err := l.Active(t.Context()); return err }
		failed := func() error { _, err := l.Failed(t.Context(), 1); return err }
		loadsAfter(0, active, 1)
		loadsAfter(ActiveTTL-1, active, 1)
		loadsAfter(1, active, 2)
		loadsAfter(0, failed, 3)
		loadsAfter(FailedTTL-1, failed, 3)
		loadsAfter(1, failed, 4)
	})
}

func TestOneLoadServesEveryLimit(t *testing.T) {
	s := &source{}
	s.loads.Store(9)
	l := newLists(s)
	for _, c := range []struct{ limit, want int }{{3, 3}, {10, 10}, {500, 10}} {
		jobs, err := l.Failed(t.Context(), c.limit)
		if err != nil || len(jobs) != c.want {
			t.Errorf("limit %d: %d pulls, %v", c.limit, len(jobs), err)
		}
	}
	if s.loads.Load() != 10 {
		t.Errorf("%d loads", s.loads.Load()-9)
	}
}

func TestOneLoadAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{slow: make(chan struct{})}
		l := newLists(s)
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if jobs, err := l.Active(t.Context()); err != nil || len(jobs) != 1 {
					t.Errorf("%d pulls, %v", len(jobs), err)
				}
			})
		}
		impatient, cancel := context.WithCancel(t.Context())
		wg.Go(func() {
			if _, err := l.Active(impatient); !errors.Is(err, context.Canceled) {
				t.Errorf("gave up, but got %v", err)
			}
		})
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(s.slow)
		wg.Wait()
	})
}

func TestInvalidate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{slow: make(chan struct{})}
		l := newLists(s)
		before := make(chan int)
		go func() {
			jobs, _ := l.Active(t.Context())
			before <- len(jobs)
		}()
		synctest.Wait()
		l.Invalidate() // while a load is under way that may have missed the change
		after := make(chan int)
		go func() {
			jobs, _ := l.Active(t.Context())
			after <- len(jobs)
		}()
		synctest.Wait()
		close(s.slow)
		if b, a := <-before, <-after; b != 1 || a != 2 {
			t.Errorf("the read before got load %d, the one after got load %d", b, a)
		}
		if jobs, _ := l.Active(t.Context()); len(jobs) != 2 {
			t.Errorf("load %d was kept", len(jobs))
		}
	})
}

func TestErrorsAreNotKept(t *testing.T) {
	s := &source{err: errors.New("away")}
	l := newLists(s)
	if _, err := l.Failed(t.Context(), 5); err == nil {
		t.Error("no error")
	}
	s.err = nil
	if _, err := l.Failed(t.Context(), 5); err != nil {
		t.Error(err)
	}
}

type watch struct {
	changed chan struct{}
	live    atomic.Bool
}

func (w *watch) Live() bool                         { return w.live.Load() }
func (w *watch) Changed() (<-chan struct{}, func()) { return w.changed, func() {} }

func TestRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, w := &source{}, &watch{changed: make(chan struct{}, 1)}
		w.live.Store(true)
		l := newLists(s)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Refresh(ctx, w) }()
		loads := func(want int32, when string) {
			t.Helper()
			synctest.Wait()
			if got := s.loads.Load(); got != want {
				t.Errorf("%s: %d loads, want %d", when, got, want)
			}
		}
		w.changed <- struct{}{}
		loads(2, "after a change")
		w.changed <- struct{}{}
		loads(2, "after another, right behind")
		time.Sleep(refreshPause) // fake time
		loads(4, "a pause later")
		time.Sleep(refreshAhead) // fake time
		loads(6, "before they expire")
		if _, err := l.Active(t.Context()); err != nil {
			t.Error(err)
		}
		loads(6, "after a read of what is fresh")
		w.live.Store(false)
		time.Sleep(2 * ActiveTTL) // fake time
		loads(6, "while the source is not watched")
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
