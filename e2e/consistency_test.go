package e2e

import (
	"fmt"
	"testing"
	"time"
)

const (
	// seenEverywhere is how soon every replica's lists show a mutation of another replica. seenSurely is longer, for a busy
	// machine.
	seenEverywhere = 500 * time.Millisecond
	seenSurely     = 4 * seenEverywhere
)

// A client sees its own mutation in its next query. Clients of other replicas see it soon.
func TestMutationsAreSeenOnAllReplicas(t *testing.T) {
	const rounds = 25
	redis := startRedis(t)
	namespace := newNamespace(t)
	playJobs(t, namespace)
	g := startGroup(t, namespace, 3, redis.Addr, "", "--max-parallel=1000")

	var elsewhere []time.Duration
	for i := range rounds {
		here, there := g.replicas[i%3], g.replicas[(i+1)%3]
		started, err := here.tryStart(t, fmt.Sprintf("source.example/seen:%d", i))
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if find(here.activePulls(t), started.ID) == nil {
			t.Errorf("the next query did not list %s, which had been started", started.ID)
		}
		elsewhere = append(elsewhere, there.awaitListed(t, started.ID, true, began))

		if _, err := here.cancel(t, started.ID); err != nil {
			t.Fatal(err)
		}
		began = time.Now()
		if find(here.activePulls(t), started.ID) != nil {
			t.Errorf("the next query listed %s, which had been canceled", started.ID)
		}
		elsewhere = append(elsewhere, there.awaitListed(t, started.ID, false, began))
	}
	worst := percentile(elsewhere, 1)
	if worst > seenSurely {
		t.Errorf("a mutation was seen on another replica after %s", worst)
	}
	figures.add(t, fmt.Sprintf("mutation until another replica shows it, %d times", len(elsewhere)),
		"median %s, at most %s (promise: %s)", milliseconds(percentile(elsewhere, .5)), milliseconds(worst), milliseconds(seenEverywhere))
}

// awaitListed queries again and again until a replica lists a pull as active, or does not, and returns how long that took.
func (r *replica) awaitListed(t *testing.T, id string, listed bool, began time.Time) time.Duration {
	t.Helper()
	for {
		if (find(r.activePulls(t), id) != nil) == listed {
			return time.Since(began)
		}
		if time.Since(began) > patience {
			t.Fatalf("%s: listed is not %t after %s", id, listed, patience)
		}
	}
}
