package turns

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

func TestACallerThatAsksForMuchDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := New(1)
		end, err := turns.Take(t.Context(), "holder")
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var order []string
		var working sync.WaitGroup
		for _, caller := range []string{"a", "a", "a", "b", "c", "b"} {
			working.Go(func() {
				end, err := turns.Take(t.Context(), caller)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				order = append(order, caller)
				mu.Unlock()
				end()
			})
			synctest.Wait()
		}
		end()
		working.Wait()
		if got, want := strings.Join(order, ""), "abcaba"; got != want {
			t.Errorf("turns of %s, want %s", got, want)
		}
		if turns.free != 1 || len(turns.byName) != 0 || len(turns.queues) != 0 {
			t.Errorf("left: %d free, %d callers", turns.free, len(turns.byName))
		}
	})
}

func TestACallerThatStopsWaitingKeepsNoTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := New(1)
		end, err := turns.Take(t.Context(), "holder")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var waiting sync.WaitGroup
		for range 3 {
			waiting.Go(func() {
				if _, err := turns.Take(ctx, "a"); !errors.Is(err, context.Canceled) {
					t.Errorf("%v, want %v", err, context.Canceled)
				}
			})
		}
		synctest.Wait()
		cancel()
		waiting.Wait()
		end()
		if end, err = turns.Take(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		end()
		if turns.free != 1 {
			t.Errorf("%d workers are free, want 1", turns.free)
		}
	})
}
