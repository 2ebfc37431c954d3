package kube

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"pullwatch/internal/budget"
	"pullwatch/internal/pull"
	"pullwatch/internal/turns"
	"pullwatch/internal/usererr"
)

// A client who starts hundreds of pulls does not keep another one waiting until all of them have been started.
func TestClientsStartPullsInTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := turns.New(1)
		of := func(client string) context.Context {
			var memory *budget.Budget
			return budget.With(t.Context(), memory.Open(client, 0))
		}
		var order []string
		var starting sync.WaitGroup
		begun := make(chan struct{})
		start := func(client string) {
			starting.Go(func() {
				if err := inTurn(of(client), turns, func() error {
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

// References of hundreds of bytes, a hundred in one call, take a processor for long.
func TestReferencesAreParsedWhenItIsTheClientsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &Pulls{parsing: turns.New(1), starting: turns.New(1)}
		end, err := p.parsing.Take(t.Context(), "other")
		if err != nil {
			t.Fatal(err)
		}
		var result *pull.StartResult
		var starting sync.WaitGroup
		starting.Go(func() { result = p.startOne(t.Context(), "not an image", "harbor.example", nil, nil) })
		synctest.Wait()
		if result != nil {
			t.Error("a reference was parsed in another client's turn")
		}
		end()
		starting.Wait()
		if result.Error == nil || result.Error.Code != usererr.BadInput {
			t.Errorf("%+v, want the error %s", result.Error, usererr.BadInput)
		}
	})
}
