package e2e

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"
)

// successionStep is how exactly a succession is timed.
const successionStep = 20 * time.Millisecond

// succession is the wait for another leader.
type succession struct {
	// led has when one of the replicas that were left led.
	led chan time.Time
}

// watchSuccession begins to wait for one of the replicas to lead; none of them does yet.
func watchSuccession(t *testing.T, heirs []*replica) *succession {
	s := &succession{led: make(chan time.Time, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watching.Go(func() {
		ticker := time.NewTicker(successionStep)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
			for _, r := range heirs {
				if text, err := r.Metrics(ctx); err == nil && strings.Contains(text, "\npullwatch_leader 1\n") {
					s.led <- time.Now()
					return
				}
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		watching.Wait()
	})
	return s
}

func (s *succession) await(t *testing.T) time.Time {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case at := <-s.led:
		return at
	case <-limit.C:
		t.Fatal("no other replica leads")
		return time.Time{}
	}
}
