package sharedlog

import (
	"flag"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"pullwatch/internal/pull"
)

var (
	walks = flag.Int("walks", 2000, "how many random orders of steps are tried")
	seed  = flag.Uint64("seed", 1, "which random orders")
)

// Each walk is longer than what can be tried in all orders, and takes all kinds of steps. Only, either replicas are restarted or
// Redis loses what it holds: what a replica that is gone alone had told Redis is then lost, as documented.
func TestTheInvariantsHoldInRandomOrders(t *testing.T) {
	steps := []step{happen, happen, happen, giveUp}
	for i := range 2 {
		steps = append(steps, see(i), see(i), write(i), read(i), attach(i), watch(i), wait(i), lose(i), lead(i), yield(i), start(i), silence(i), visit(i))
	}
	kinds := [][]step{append(slices.Clone(steps), restart(0), restart(1)), append(slices.Clone(steps), flush, failover)}
	synctest.Test(t, func(t *testing.T) {
		for n := range *walks {
			way, fault := walk(rand.New(rand.NewPCG(*seed, uint64(n))), kinds[n%len(kinds)])
			if fault != "" {
				t.Errorf("walk %d: %s\nafter: %s", n, fault, strings.Join(way, ", "))
			}
		}
	})
}

// walk takes steps by chance and then lets everything come to rest. It returns the way to a fault, and the fault.
func walk(chance *rand.Rand, steps []step) (way []string, fault string) {
	w := newWorld(2, change{id: "a", phase: pull.Pulling}, change{id: "b", phase: pull.Queued}, change{id: "b", phase: pull.Pulling}, change{id: "b", phase: pull.Canceled},
		change{id: "b", gone: true}, change{id: "a", phase: pull.Succeeded}, change{id: "c", phase: pull.Queued}, change{id: "a", gone: true})
	defer w.close()
	w.run(lead(0), watch(0), attach(0), happen, see(0), write(0), read(0), attach(1), visit(0))
	for range 8 + chance.IntN(14) {
		if s := steps[chance.IntN(len(steps))]; w.take(s) {
			way = append(way, s.name)
		}
		if w.fault != "" {
			return way, w.fault
		}
	}
	w.rest()
	return way, w.fault
}
