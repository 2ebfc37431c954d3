package sharedlog

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pullwatch/internal/feed"
	"pullwatch/internal/pull"
)

// Each test here is one order of events of those that explore takes.

// follow takes the steps that are possible, and reports a fault.
func (w *world) follow(t *testing.T, steps ...step) {
	t.Helper()
	for _, s := range steps {
		if w.take(s); w.fault != "" {
			t.Fatalf("%s: %s", s.name, w.fault)
		}
	}
}

// messages returns the last state of each pull that the client got.
func (w *world) messages() (all []string) {
	for id, state := range w.client.last {
		all = append(all, fmt.Sprint(id, " ", state.Phase))
	}
	slices.Sort(all)
	return all
}

func TestAPullThatReplicasPublishedByThemselvesIsNotLostUnderANewLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := leaderless()
		defer w.close()
		w.follow(t, visit(1), happen, see(0), see(1), wait(0), wait(1), lead(0), write(0), lose(1), attach(1))
		if got := w.messages(); !slices.Equal(got, []string{"a PULLING", "b QUEUED"}) {
			t.Errorf("the client got %v", got)
		}
	})
}

func TestResourceVersionsAreNotWrittenWhenAChangeThatTheyCoverCouldNotBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := leaderless()
		defer w.close()
		w.journal.full = true
		w.follow(t, lead(0), happen, see(0), write(0))
		w.journal.full = false
		w.follow(t, write(0)) // the session has not ended yet
		w.follow(t, lose(0), attach(0), write(0), read(1))
		if state := w.replicas[1].Latest("b"); state == nil || w.journal.versions.Jobs != 2 {
			t.Errorf("the log holds %v, its versions are %v", state, w.journal.versions)
		}
	})
}

func TestTheEndOfAPullIsTheLastStateThatAClientGets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := stopped()
		defer w.close()
		w.follow(t, see(0), lose(0), visit(0), wait(0))
		if got := w.messages(); !slices.Equal(got, []string{"a SUCCEEDED"}) {
			t.Errorf("a replica that had been stopped sent the client %v", got)
		}
		w.follow(t, attach(0), happen, see(1), write(1), read(0))
		if got := w.messages(); !slices.Equal(got, []string{"a SUCCEEDED", "b QUEUED"}) {
			t.Errorf("back at the log, it sent the client %v", got)
		}
	})
}

func TestNothingComesAgainAfterAReplicaWasStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := stopped()
		defer w.close()
		w.client.strict = true
		w.follow(t, happen, lose(0), see(0), see(0), see(0), visit(0), attach(0), write(0), read(0), visit(1), see(1), write(1), read(1), visit(0), read(0), visit(0))
		if got := w.messages(); !slices.Equal(got, []string{"a SUCCEEDED", "b QUEUED"}) {
			t.Errorf("the client got %v", got)
		}
	})
}

func TestNothingThatAReplicaPublishedByItselfComesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(2, change{id: "a", phase: pull.Pending}, change{id: "a", phase: pull.Pulling}, change{id: "b", phase: pull.Queued})
		defer w.close()
		w.run(lead(1), watch(1), attach(1), happen, see(1), write(1), read(1), attach(0), visit(0), lose(0))
		w.client.strict = true
		// The client gets b first, which is behind a in the log.
		w.follow(t, happen, start(0), wait(0), see(1), write(1), attach(0), visit(0), write(0), read(0), visit(0))
		if got := w.messages(); !slices.Equal(got, []string{"a PULLING", "b QUEUED"}) {
			t.Errorf("the client got %v", got)
		}
	})
}

func TestAPullThatWasRetiredWhileTheLogWasAwayIsRetiredInIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1, change{id: "a", phase: pull.Succeeded}, change{id: "a", gone: true})
		defer w.close()
		w.follow(t, lead(0), watch(0), attach(0), happen, see(0), write(0), read(0), lose(0), happen, see(0), wait(0), attach(0), write(0))
		if !w.journal.pulls["a"].Retired {
			t.Error("the log holds a pull whose Job is gone")
		}
	})
}

func TestSubscribersGetAStateThatTheLogDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1, change{id: "a", phase: pull.Queued})
		defer w.close()
		w.run(lead(0), watch(0), attach(0), visit(0), happen, see(0))
		time.Sleep(flushLimit)
		synctest.Wait()
		w.listen()
		if got := w.messages(); len(got) != 1 {
			t.Errorf("the client got %v", got)
		}
	})
}

// A log that returns everything in time is not bypassed only because there is always more to append.
func TestUnderLoadEverythingComesThroughTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1)
		defer w.close()
		w.run(lead(0), watch(0), attach(0))
		r := w.replicas[0]
		for i := range 20 {
			r.Publish(newState(fmt.Sprint(i), pull.Queued, ""))
			write(0).do(w)
			r.Publish(newState(fmt.Sprint("more", i), pull.Queued, "")) // there is always something on its way
			time.Sleep(flushLimit / 4)
			read(0).do(w)
			synctest.Wait()
		}
		if state := r.Latest("19"); state == nil || state.Position.Replica != "" {
			t.Errorf("it was delivered as %v", state)
		}
	})
}

// Redis may come back without the last entry while the leader goes on, and use its offset again for another entry. A read does
// not return that one if its ID is lower than the lost one's.
func TestALogThatLostItsEndIsNoticedHoweverSoonItGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := leaderless()
		defer w.close()
		w.follow(t, lead(0), write(0), read(1))
		reader, journal := w.replicas[1], w.journal
		beat := func() {
			if _, err := journal.append(t.Context(), journal.name, tail{}, feed.ResourceVersions{Jobs: 1, Pods: 1}, false, operation{kind: entryHeartbeat}); err != nil {
				t.Fatal(err)
			}
		}
		beat()
		journal.nonce = 100
		beat()
		if _, err := reader.advance(t.Context(), reader.at); err != nil {
			t.Fatal(err)
		}
		journal.updates = journal.updates[:len(journal.updates)-1]
		journal.seq, journal.clock, journal.last, journal.nonce = journal.seq-1, journal.seq-1, journal.updates[len(journal.updates)-1].id, 50
		beat()
		beat()
		if _, err := reader.advance(t.Context(), reader.at); !errors.Is(err, errGap) {
			t.Errorf("the reader went on: %v", err)
		}
	})
}

// A new leader may for a while publish nothing of what it sees, and set no resourceVersions. It leads all the same.
func TestALeaderThatPublishesNothingYetSendsHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1)
		defer w.close()
		w.follow(t, lead(0), watch(0), attach(0))
		r := w.replicas[0]
		r.versions = feed.ResourceVersions{}
		before := len(w.journal.updates)
		r.writeBatch(t.Context(), true)
		if len(w.journal.updates) != before+1 {
			t.Error("no heartbeat was written")
		}
	})
}

// The lists of a replica show a mutation that has returned, also when the log goes away in that moment.
func TestAPullPublishedAsTheLogGoesAwayIsKnownAfterFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1, change{id: "a", phase: pull.Queued}, change{id: "b", phase: pull.Queued})
		defer w.close()
		w.run(lead(0), watch(0), attach(0), start(0), write(0), read(0), lose(0), start(0))
		w.replicas[0].Flush(t.Context())
		if w.replicas[0].Latest("b") == nil {
			t.Error("the pull is not known")
		}
	})
}

// A replica of Redis that does not know the newest log may take over. Its earlier log may never get as far as readers are.
func TestAnEarlierLogWithWhichRedisComesBackIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1, change{id: "a", phase: pull.Queued}, change{id: "b", phase: pull.Queued}, change{id: "c", phase: pull.Queued})
		defer w.close()
		w.run(lead(0), watch(0), attach(0), happen, see(0), write(0), read(0))
		before := *w.journal
		before.pulls = maps.Clone(before.pulls)
		w.run(flush, lose(0), attach(0), visit(0), happen, see(0), write(0), read(0))
		logs := w.journal.logs
		*w.journal = before
		w.journal.logs = logs
		w.run(lose(0))
		r := w.replicas[0]
		c, err := r.open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.enter(t.Context(), c); !errors.Is(err, errGap) {
			t.Errorf("the replica goes on with an earlier log: %v", err)
		}
		w.follow(t, attach(0), visit(0), happen, see(0), write(0), read(0))
		if got := w.messages(); !slices.Equal(got, []string{"a QUEUED", "b QUEUED", "c QUEUED"}) {
			t.Errorf("the client got %v", got)
		}
	})
}
