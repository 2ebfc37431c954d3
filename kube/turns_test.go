package kube

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"pullwatch/budget"
	"pullwatch/turns"
)

// A client who starts hundreds of pulls does not keep another one waiting until all of them have been started.
func TestClientsStartPullsInTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &Pulls{starting: turns.New(1)}
		of := func(client string) context.Context {
			var memory *budget.Budget
			return budget.With(t.Context(), memory.Open(client, 0))
		}
		var order []string
		var starting sync.WaitGroup
		begun := make(chan struct{})
		start := func(client string) {
			starting.Go(func() {
				if err := p.inTurn(of(client), func() error {
					<-begun
					order = append(order, client)
					return nil
				}); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		for range 5 {
			start("many")
		}
		start("one")
		close(begun)
		starting.Wait()
		if i := slices.Index(order, "one"); i > 2 {
			t.Errorf("the order is %s", fmt.Sprint(order))
		}
	})
}
