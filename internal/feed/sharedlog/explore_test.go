package sharedlog

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"pullwatch/internal/pull"
)

// explore takes all steps in all orders up to a depth. It returns the shortest way to a fault, and the fault.
func explore(begin func() *world, depth int, steps ...step) (way []string, fault string, worlds int) {
	seen := map[uint64]bool{}
	ways := [][]int{{}}
	for range depth - shallower {
		var next [][]int
		for _, way := range ways {
			for n := range steps {
				w := begin()
				for _, m := range way {
					w.take(steps[m])
				}
				if !w.take(steps[n]) || (w.fault == "" && seen[w.key()]) {
					w.close()
					continue
				}
				seen[w.key()] = true
				longer := append(slices.Clone(way), n)
				if w.fault == "" {
					w.rest()
				}
				if w.fault != "" {
					var names []string
					for _, m := range longer {
						names = append(names, steps[m].name)
					}
					return names, w.fault, len(seen)
				}
				w.close()
				next = append(next, longer)
			}
		}
		ways = next
	}
	return nil, "", len(seen)
}

func try(t *testing.T, begin func() *world, depth int, steps ...step) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		way, fault, worlds := explore(begin, depth, steps...)
		if fault != "" {
			t.Errorf("%s\nafter: %s", fault, strings.Join(way, ", "))
		}
		t.Log(worlds, "worlds")
	})
}

// Nobody leads, and the replicas watch for themselves. Then one of them leads, and another one attaches to the log anew.
func TestNoPullThatExistsIsReportedLostInAnyOrder(t *testing.T) {
	try(t, leaderless, 6, start(0), happen, see(0), see(1), write(0), write(1), read(0), read(1), wait(0), wait(1), lead(0), lead(1), yield(0), lose(1), attach(1))
}

// leaderless returns a world of two replicas that follow a log, and whose leader is gone.
func leaderless() *world {
	w := newWorld(3, change{id: "a", phase: pull.Pulling}, change{id: "b", phase: pull.Queued}, change{id: "b", phase: pull.Pulling})
	w.run(lead(2), watch(2), attach(2), happen, see(2), write(2), read(2), attach(0), attach(1))
	w.leader = -1
	w.replicas = w.replicas[:2]
	return w.run(silence(0), silence(1), watch(0), watch(1))
}

// A leader is stopped, and another one leads. When the first one goes on, a client comes back to it.
func TestAStoppedReplicaSendsAClientNothingOlderInAnyOrder(t *testing.T) {
	try(t, stopped, 6, happen, see(0), see(1), write(0), read(0), write(1), read(1), wait(0), lose(0), attach(0), yield(0), visit(0), visit(1), giveUp)
}

// stopped returns a world in which the second replica leads, and the first one does not know that. The client is at the
// second one.
func stopped() *world {
	w := newWorld(2, change{id: "a", phase: pull.Pending}, change{id: "a", phase: pull.Pulling}, change{id: "a", phase: pull.Succeeded}, change{id: "b", phase: pull.Queued})
	w.run(lead(0), watch(0), attach(0), happen, see(0), write(0), read(0), attach(1), visit(1))
	return w.run(lead(1), watch(1), happen, see(1), happen, see(1), write(1), read(1))
}

// Redis is away, so two replicas watch for themselves. A client goes from one to the other.
func TestAReplicaByItselfSendsAClientNothingOlderInAnyOrder(t *testing.T) {
	try(t, func() *world {
		w := newWorld(2, change{id: "a", phase: pull.Pending}, change{id: "a", phase: pull.Pulling}, change{id: "a", phase: pull.Succeeded}, change{id: "b", phase: pull.Queued})
		w.run(lead(0), watch(0), attach(0), happen, see(0), write(0), read(0), attach(1), visit(1))
		return w.run(lose(0), lose(1), watch(1), happen, see(0), wait(0))
	}, 7, happen, see(0), see(1), wait(0), wait(1), write(0), attach(0), read(0), attach(1), read(1), visit(0), visit(1), giveUp)
}

// While Redis is away, a pull ends and is gone, which one replica publishes by itself. The client goes to a replica that was
// restarted. Once Redis is back, that one reads in the log how things were before.
func TestARestartedReplicaSendsAClientNothingOlderInAnyOrder(t *testing.T) {
	try(t, func() *world {
		w := newWorld(2, change{id: "a", phase: pull.Pulling}, change{id: "a", phase: pull.Canceled}, change{id: "a", gone: true}, change{id: "b", phase: pull.Queued})
		w.run(lead(0), watch(0), attach(0), happen, see(0), write(0), read(0), attach(1), visit(0))
		return w.run(lose(0), lose(1), happen, see(0), wait(0), happen, restart(1), watch(1))
	}, 6, happen, see(0), see(1), wait(0), wait(1), attach(0), write(0), read(0), attach(1), write(1), read(1), visit(0), visit(1), giveUp)
}

// A leader shows clients by itself a pull that begins and ends, and is restarted before it has appended that. Another one leads.
func TestAPullThatOneReplicaShowedByItselfEndsForItsClientsInAnyOrder(t *testing.T) {
	try(t, func() *world {
		w := newWorld(2, change{id: "a", phase: pull.Pulling}, change{id: "b", phase: pull.Queued}, change{id: "b", phase: pull.Canceled}, change{id: "b", gone: true})
		w.run(lead(0), watch(0), attach(0), happen, see(0), write(0), read(0), attach(1), visit(0))
		return w.run(lose(0), start(0), wait(0))
	}, 6, happen, see(0), wait(0), attach(0), write(0), read(0), restart(0), lead(0), lead(1), yield(0), watch(0), watch(1), see(1), write(1), read(1), visit(0), visit(1), giveUp)
}

// All replicas are restarted while Redis is away. A pull that the log holds ends and is gone before they watch.
func TestAPullThatEndsWhileAllReplicasRestartEndsForClientsInAnyOrder(t *testing.T) {
	try(t, func() *world {
		w := newWorld(2, change{id: "a", phase: pull.Pulling}, change{id: "a", phase: pull.Canceled}, change{id: "a", gone: true}, change{id: "b", phase: pull.Queued})
		w.run(lead(0), watch(0), attach(0), happen, see(0), write(0), read(0), attach(1), visit(0))
		w.leader = -1
		w.run(visit(1), restart(0), visit(0), restart(1), happen, happen)
		return w
	}, 6, happen, lead(0), lead(1), yield(0), watch(0), watch(1), see(0), see(1), attach(0), write(0), read(0), attach(1), write(1), read(1), visit(0), visit(1), giveUp)
}

// Redis goes away while a replica restarts. A client comes to it from another one.
func TestAReplicaThatHasNotReadTheLogSendsAClientNothingOlderInAnyOrder(t *testing.T) {
	try(t, func() *world {
		w := newWorld(2, change{id: "a", phase: pull.Pending}, change{id: "a", phase: pull.Pulling}, change{id: "a", phase: pull.Succeeded}, change{id: "b", phase: pull.Queued})
		w.run(lead(0), watch(0), attach(0), happen, see(0), write(0), read(0), attach(1), visit(0))
		return w.run(restart(1), watch(1), happen, see(0), write(0), read(0))
	}, 6, happen, see(0), see(1), wait(0), wait(1), write(0), read(0), attach(1), write(1), read(1), lose(0), visit(0), visit(1), giveUp)
}

// Redis loses the log. One of two pulls ends, is gone and is forgotten.
func TestALostLogLosesNoStateInAnyOrder(t *testing.T) {
	try(t, func() *world {
		w := newWorld(2, change{id: "a", phase: pull.Pulling}, change{id: "b", phase: pull.Queued}, change{id: "a", phase: pull.Succeeded}, change{id: "a", gone: true}, change{id: "b", phase: pull.Succeeded})
		w.journal.remembered = 0
		return w.run(lead(0), watch(0), attach(0), happen, see(0), happen, see(0), write(0), read(0), attach(1), visit(1))
	}, 6, happen, see(0), see(1), write(0), read(0), write(1), read(1), attach(0), attach(1), watch(1), lose(1), wait(0), wait(1), flush, visit(0), visit(1), giveUp)
}

// Redis fails over to a server that lacks what was appended last. Nobody notices until more is read or appended.
func TestAFailoverThatLosesTheEndOfTheLogLosesNoPullInAnyOrder(t *testing.T) {
	try(t, func() *world {
		w := newWorld(2, change{id: "a", phase: pull.Pulling}, change{id: "b", phase: pull.Queued}, change{id: "b", phase: pull.Pulling}, change{id: "a", phase: pull.Succeeded})
		return w.run(lead(0), watch(0), attach(0), happen, see(0), write(0), read(0), attach(1), read(1), visit(1))
	}, 6, start(1), happen, see(0), write(0), read(0), write(1), read(1), attach(0), attach(1), lose(0), lose(1), failover, visit(0), visit(1), giveUp)
}

// The leader is restarted as Redis loses the log. A pull ends and is gone before it watches, so only the other replica knows the pull.
func TestAPullThatOnlyAFollowerRemembersEndsForClientsInAnyOrder(t *testing.T) {
	try(t, func() *world {
		w := newWorld(2, change{id: "a", phase: pull.Pulling}, change{id: "a", phase: pull.Succeeded}, change{id: "a", gone: true}, change{id: "b", phase: pull.Queued})
		w.run(lead(0), watch(0), attach(0), happen, see(0), write(0), read(0), attach(1), visit(1))
		return w.run(flush, happen, happen, restart(0), lead(0), visit(0))
	}, 7, happen, watch(0), see(0), attach(0), write(0), read(0), attach(1), write(1), read(1), lose(1))
}

// A replica starts a pull that it can't append. That one ends and is gone before the new leader watches and makes a new log.
func TestAPullThatComesToTheLogAfterItsEndIsInNoListInAnyOrder(t *testing.T) {
	try(t, func() *world {
		w := newWorld(2, change{id: "a", phase: pull.Pulling}, change{id: "b", phase: pull.Queued}, change{id: "b", phase: pull.Canceled}, change{id: "b", gone: true})
		w.run(lead(0), watch(0), attach(0), happen, see(0), write(0), read(0), attach(1), visit(0))
		return w.run(start(0), flush, read(0), restart(1), happen)
	}, 7, happen, see(0), lead(1), yield(0), watch(1), attach(1), write(1), read(1), attach(0), write(0), read(0), wait(0))
}

// A replica that is about to lead starts a pull that it can't append, and the pull is gone before its watch begins.
func TestAPullThatALeaderStartedBeforeItWatchedIsInNoListInAnyOrder(t *testing.T) {
	try(t, func() *world {
		w := newWorld(2, change{id: "a", phase: pull.Pulling}, change{id: "b", phase: pull.Queued}, change{id: "b", phase: pull.Canceled}, change{id: "b", gone: true})
		w.run(lead(0), watch(0), attach(0), happen, see(0), write(0), read(0), visit(0))
		return w.run(flush, read(0), restart(1), start(1), happen)
	}, 6, happen, lead(1), yield(0), watch(1), attach(1), write(1), read(1), attach(0), write(0), read(0), wait(1))
}

// A leader is stopped while it has something to append. Meanwhile the pull ends, is gone, and the log forgets it.
func TestAStoppedLeaderBringsNoPullBackInAnyOrder(t *testing.T) {
	try(t, func() *world {
		w := newWorld(2, change{id: "a", phase: pull.Pending}, change{id: "a", phase: pull.Pulling}, change{id: "a", phase: pull.Succeeded}, change{id: "a", gone: true}, change{id: "b", phase: pull.Queued})
		w.journal.remembered = 0
		w.run(lead(0), watch(0), attach(0), happen, see(0), write(0), read(0), attach(1), visit(1))
		return w.run(happen, see(0), lead(1), watch(1), happen)
	}, 6, happen, see(0), see(1), write(0), read(0), write(1), read(1), wait(0), lose(0), attach(0), yield(0))
}
