package budget

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func newBudget(total int64) *Budget { return New(total, prometheus.NewRegistry()) }

// take takes for a new Account, and fails the test unless the error is the one that is wanted.
func take(t *testing.T, b *Budget, caller string, bytes int, want error) *Account {
	t.Helper()
	a := b.Open(caller, 0)
	if err := a.Take(Requests, bytes); !errors.Is(err, want) {
		t.Errorf("%s takes %d: %v, want %v", caller, bytes, err, want)
	}
	return a
}

func TestOneCallerGetsHalfAndLeavesTheRestToOthers(t *testing.T) {
	b := newBudget(1000)
	take(t, b, "greedy", 500, nil)
	take(t, b, "greedy", 1, ErrShare)
	take(t, b, "other", 250, nil)
	take(t, b, "other", 1, ErrShare)
	take(t, b, "third", 100, nil)
	take(t, b, "", 150, nil)
	take(t, b, "", 1, ErrFull)
}

func TestALargeTakeLeavesRoomForSmallOnes(t *testing.T) {
	b := newBudget(3 << 20)
	take(t, b, "a", 1<<20, nil)
	take(t, b, "a", large, ErrShare)
	take(t, b, "a", large-1, nil)
	take(t, b, "a", 1<<10, nil)
	take(t, b, "b", large, nil)
}

func TestManyCallersLeaveSomethingForTheNextOne(t *testing.T) {
	b := newBudget(100_000)
	for i := range 8 {
		for b.Open(string(rune('a'+i)), 0).Take(Logs, 100) == nil {
		}
	}
	take(t, b, "next", 100, nil)
}

func TestBytesGivenBackCanBeTakenAgain(t *testing.T) {
	b := newBudget(1000)
	a := take(t, b, "a", 500, nil)
	a.Give(Requests, 200)
	c := take(t, b, "a", 200, nil)
	a.Close()
	a.Close()
	c.Close()
	take(t, b, "a", 500, nil).Close()
	if len(b.callers) != 0 || b.used != 0 {
		t.Errorf("%d callers and %d bytes are left, want none", len(b.callers), b.used)
	}
	for kind := range kinds {
		if left := testutil.ToFloat64(b.gauges[kind]); left != 0 {
			t.Errorf("the gauge of %s shows %v, want 0", kindNames[kind], left)
		}
	}
	if refused := testutil.ToFloat64(b.refused[Requests]); refused != 0 {
		t.Errorf("%v refusals are counted, want none", refused)
	}
}

func TestBytesWithinTheAllowanceAreNotTakenTwice(t *testing.T) {
	b := newBudget(1000)
	a := b.Open("a", 100)
	if err := errors.Join(a.Take(Requests, 60), a.Take(Responses, 60)); err != nil {
		t.Fatal(err)
	}
	if b.used != 20 {
		t.Errorf("120 bytes with an allowance of 100 take %d, want 20", b.used)
	}
	if err := a.Set(Requests, 10); err != nil || a.Held(Requests) != 10 {
		t.Errorf("held %d, %v, want 10", a.Held(Requests), err)
	}
	a.Close()
	if b.used != 0 {
		t.Errorf("%d bytes are left, want none", b.used)
	}
}

func TestAWaiterGetsItsBytesAsSoonAsTheyFit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(1000)
		holder := take(t, b, "a", 500, nil)
		got := make(chan string, 3)
		var waiting sync.WaitGroup
		for _, name := range []string{"first", "second"} {
			waiting.Go(func() {
				if err := b.Wait(t.Context(), "a", Requests, 300); err != nil {
					t.Error(err)
				}
				got <- name
				b.Give("a", Requests, 300)
			})
			synctest.Wait()
		}
		// Another caller is not behind them.
		take(t, b, "b", 200, nil).Close()
		holder.Give(Requests, 250)
		synctest.Wait()
		if len(got) != 0 {
			t.Error("a waiter was let in with what does not fit")
		}
		holder.Close()
		waiting.Wait()
		if first, second := <-got, <-got; first != "first" || second != "second" {
			t.Errorf("let in: %s, %s", first, second)
		}
	})
}

func TestAWaiterThatGivesUpLearnsWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(1000)
		holder := take(t, b, "a", 500, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		if err := b.Wait(ctx, "a", Requests, 100); !errors.Is(err, ErrShare) || time.Since(began) != 5*time.Second {
			t.Errorf("%v after %v, want %v after 5s", err, time.Since(began), ErrShare)
		}
		holder.Close()
		if len(b.callers) != 0 || len(b.waiting) != 0 {
			t.Errorf("%d callers and %d that wait are left, want none", len(b.callers), len(b.waiting))
		}
	})
}

func TestWithoutABudgetNothingIsRefused(t *testing.T) {
	var b *Budget
	a := b.Open("a", 0)
	if err := a.Take(Logs, 1<<40); err != nil {
		t.Error(err)
	}
	a.Close()
	if err := From(t.Context()).Take(Logs, 1<<40); err != nil {
		t.Error(err)
	}
	From(t.Context()).Close()
	if err := errors.Join(b.Take("a", Logs, 1<<40), b.Wait(t.Context(), "a", Logs, 1<<40)); err != nil {
		t.Error(err)
	}
	b.Give("a", Logs, 1<<40)
}

func TestNeverMoreThanTheBudgetIsTaken(t *testing.T) {
	b := newBudget(10_000)
	var working sync.WaitGroup
	for i := range 16 {
		working.Go(func() {
			for range 300 {
				name, kind, bytes := string(rune('a'+i%5)), Kind(i%int(kinds)), rand.IntN(4000)
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(1000))*time.Microsecond)
				err := b.Wait(ctx, name, kind, bytes)
				cancel()
				a := b.Open(name, 0)
				b.mu.Lock()
				if b.used > b.total {
					t.Errorf("%d of %d bytes are taken", b.used, b.total)
				}
				b.mu.Unlock()
				_ = a.Take(Logs, rand.IntN(500)) // refused or not
				a.Close()
				if err == nil {
					b.Give(name, kind, bytes)
				}
			}
		})
	}
	working.Wait()
	if b.used != 0 || len(b.callers) != 0 || len(b.waiting) != 0 {
		t.Errorf("left: %d bytes, %d callers, %d that wait", b.used, len(b.callers), len(b.waiting))
	}
}
