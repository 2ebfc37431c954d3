package chaos

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// shortSeed is the one that the short form always has.
const shortSeed = 7

// TestPromisesHoldUnderFaultsAtRandom runs each seed with its kinds of Redis.
func TestPromisesHoldUnderFaultsAtRandom(t *testing.T) {
	length := *faultTime
	if length == 0 {
		length = 15 * time.Second
		if *long {
			length = time.Minute
		}
	}
	var names []string
	if *onlyFault != "" {
		names = strings.Split(*onlyFault, ",")
	}
	for _, seed := range chosenSeeds() {
		for _, kind := range chosenKinds(seed) {
			t.Run(fmt.Sprintf("seed %d, Redis %s", seed, kind), func(t *testing.T) {
				from := faultsFor(kind, names)
				if len(from) == 0 {
					t.Skipf("no fault of %q can come upon Redis %s", names, kind)
				}
				runSeed(t, seed, kind, schedule(seed, from, length))
			})
		}
	}
}

func chosenSeeds() []uint64 {
	first := *firstSeed
	if first == 0 {
		first = 1000 + rand.Uint64N(1_000_000)
		if !*long {
			return []uint64{shortSeed, first}
		}
	}
	var all []uint64
	for i := range *seeds {
		all = append(all, first+uint64(i))
	}
	return all
}

func chosenKinds(seed uint64) []string {
	every := strings.Split(allKinds, ",")
	switch {
	case *kinds != "":
		return strings.Split(*kinds, ",")
	case *long:
		return every
	}
	return every[seed%uint64(len(every)) : seed%uint64(len(every))+1]
}

func runSeed(t *testing.T, seed uint64, kind string, blows []blow) {
	t.Logf("seed %d, Redis %s, faults:\n%s", seed, kind, describe(blows))
	w := newWorld(t, seed, kind, 1)
	w.subscribe(5, 3)
	w.watch()
	w.use(2)
	w.strike(blows)
	w.finish()
}

// finish lets the world settle, and fails the test if a promise was broken.
func (w *world) finish() {
	w.t.Helper()
	w.settle()
	w.leave()
	w.t.Logf("%s: %s", w.clock(time.Now()), &w.counts)
	if report := w.verdict.report(w.evidence); report != "" {
		w.t.Errorf("seed %d, Redis %s. The faults as they came:\n%s\n%s", w.seed, w.redis.kind, w.journal, report)
	}
}
