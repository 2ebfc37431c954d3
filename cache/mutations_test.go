package cache

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pullwatch/internal/pull"
)

// Mutations may return in another order than that of their versions.
func TestTheNextListShowsAMutationWhileManyRun(t *testing.T) {
	for name, watching := range map[string]bool{"this replica watches": true, "another one watches": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const pulls = 50
				running := snapshotOf(pulls).Active
				w := newLocal()
				w.watching.Store(watching)
				w.current.Store(true)
				w.snapshot.Store(&Snapshot{Active: running})
				l, _ := newLists(t, Options{Source: &source{}, Local: w})
				var mu sync.Mutex
				end := func(canceled *pull.State) {
					mu.Lock()
					defer mu.Unlock()
					running = slices.DeleteFunc(slices.Clone(running), func(state *pull.State) bool { return state == canceled })
					w.snapshot.Store(&Snapshot{Active: running})
				}
				var mutations sync.WaitGroup
				for i, state := range running {
					mutations.Go(func() {
						time.Sleep(time.Duration(pulls-i) * time.Millisecond) // fake time
						end(state)
						l.Require(uint64(i + 1))
						if r, err := l.Active(t.Context()); err != nil || slices.Contains(r.States, state) {
							t.Errorf("pull %s is still listed right after it was canceled; %v", state.ID, err)
						}
					})
				}
				mutations.Wait()
			})
		})
	}
}
