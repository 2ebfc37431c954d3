package feed

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pullwatch/internal/pull"
	"pullwatch/internal/usererr"
)

// Each of these is one order of events out of those that the model explores.

// follow takes the steps that are possible, and reports a fault.
func (w *world) follow(t *testing.T, steps ...step) {
	t.Helper()
	for _, s := range steps {
		if w.take(s); w.fault != "" {
			t.Fatalf("%s: %s", s.name, w.fault)
		}
	}
}

// messages returns what the client was told last, by pull.
func (w *world) messages() (all []string) {
	for id, j := range w.client.last {
		all = append(all, fmt.Sprint(id, " ", j.Phase))
	}
	slices.Sort(all)
	return all
}

func TestAPullThatReplicasToldByThemselvesIsNotLostUnderANewLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := leaderless()
		defer w.close()
		w.follow(t, visit(1), happen, see(0), see(1), wait(0), wait(1), lead(0), write(0), lose(1), attach(1))
		if got := w.messages(); !slices.Equal(got, []string{"a PULLING", "b QUEUED"}) {
			t.Errorf("the client was told %v", got)
		}
	})
}

func TestMarksAreNotWrittenAfterWhatTheyCoverCouldNotBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := leaderless()
		defer w.close()
		w.journal.full = true
		w.follow(t, lead(0), happen, see(0), write(0))
		w.journal.full = false
		w.follow(t, write(0)) // the session has not ended yet
		w.follow(t, lose(0), attach(0), write(0), read(1))
		if j := w.replicas[1].Latest("b"); j == nil || w.journal.marks.jobs != 2 {
			t.Errorf("the log holds %v, its marks are %v", j, w.journal.marks)
		}
	})
}

func TestTheEndOfAPullIsTheLastThatAClientIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := stopped()
		defer w.close()
		w.follow(t, see(0), lose(0), visit(0), wait(0))
		if got := w.messages(); !slices.Equal(got, []string{"a SUCCEEDED"}) {
			t.Errorf("a replica that had been stopped told the client %v", got)
		}
		w.follow(t, attach(0), happen, see(1), write(1), read(0))
		if got := w.messages(); !slices.Equal(got, []string{"a SUCCEEDED", "b QUEUED"}) {
			t.Errorf("back at the log, it told the client %v", got)
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
			t.Errorf("the client was told %v", got)
		}
	})
}

func TestNothingComesAgainThatAReplicaToldByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(2, change{id: "a", phase: pull.Pending}, change{id: "a", phase: pull.Pulling}, change{id: "b", phase: pull.Queued})
		defer w.close()
		w.run(lead(1), watch(1), attach(1), happen, see(1), write(1), read(1), attach(0), visit(0), lose(0))
		w.client.strict = true
		// The client is told of b first, which stands behind a in the log.
		w.follow(t, happen, start(0), wait(0), see(1), write(1), attach(0), visit(0), write(0), read(0), visit(0))
		if got := w.messages(); !slices.Equal(got, []string{"a PULLING", "b QUEUED"}) {
			t.Errorf("the client was told %v", got)
		}
	})
}

func TestWhatWasRetiredWhileTheLogWasAwayIsRetiredThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1, change{id: "a", phase: pull.Succeeded}, change{id: "a", gone: true})
		defer w.close()
		w.follow(t, lead(0), watch(0), attach(0), happen, see(0), write(0), read(0), lose(0), happen, see(0), wait(0), attach(0), write(0))
		if !w.journal.pulls["a"].gone {
			t.Error("the log holds a pull whose Job is gone")
		}
	})
}

// ahead returns a Hub at place 10 of a log, and a subscription of a reader that has come to place 20 on another replica.
func ahead(t *testing.T, ids ...string) (*Hub, *Subscription) {
	h := New("r")
	known, over := job("known", pull.Pulling, "known"), job("over", pull.Failed, "over")
	h.load(&contents{log: "l", place: 10, states: []state{{job: known, place: 9}, {job: over, place: 10}}})
	s, err := h.Subscribe(ids, pull.Position{Log: "l", Seq: 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return h, s
}

func TestAReaderThatKnowsMoreWaitsForTheReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, s := ahead(t)
		h.Publish(job("known", pull.Pulling, "by itself"))
		h.follow(record{kind: entryState, place: 19, job: job("known", pull.Succeeded, "seen")})
		got, _ := drain(t, s)
		expect(t, got)
		woken := false
		s.Notify(func() { woken = true })
		h.follow(record{kind: entryState, place: 21, job: job("next", pull.Queued, "new")})
		if !woken {
			t.Error("the reader was not woken")
		}
		got, _ = drain(t, s)
		expect(t, got, "next:new")
	})
}

func TestAReaderThatKnowsMoreGetsASnapshotWhenTheReplicaStaysBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, s := ahead(t)
		if _, err := s.Await(t.Context()); err != nil {
			t.Fatal(err)
		}
		got, _ := drain(t, s)
		expect(t, got, "over:over")
	})
}

func TestAReaderThatKnowsMoreGetsASnapshotOfAnotherLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, s := ahead(t)
		h.load(&contents{log: "m", place: 1000, states: []state{{job: job("known", pull.Succeeded, "done"), place: 1000}}})
		got, _ := drain(t, s)
		expect(t, got, "over:over", "known:done")
	})
}

func TestAPullIsNotToldToBeOverByAReplicaThatIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, s := ahead(t, "over")
		if j, err := s.Next(); j != nil || err != nil {
			t.Errorf("a reader that knows more was told %v, %v", j, err)
		}
		if _, err := h.Subscribe([]string{"later"}, pull.Position{Log: "l", Seq: 20}); usererr.CodeOf(err) != usererr.Unavailable {
			t.Errorf("a pull that the reader may know from elsewhere is %v", err)
		}
	})
}

func TestAStateThatTheLogKeepsWaitingIsToldAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1, change{id: "a", phase: pull.Queued})
		defer w.close()
		w.run(lead(0), watch(0), attach(0), visit(0), happen, see(0))
		time.Sleep(flushLimit)
		synctest.Wait()
		w.listen()
		if got := w.messages(); len(got) != 1 {
			t.Errorf("the client was told %v", got)
		}
	})
}

// A log that takes everything in time is not overtaken only because there is always more to append.
func TestUnderLoadEverythingComesThroughTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1)
		defer w.close()
		w.run(lead(0), watch(0), attach(0))
		r := w.replicas[0]
		for i := range 20 {
			r.Publish(job(fmt.Sprint(i), pull.Queued, ""))
			write(0).do(w)
			r.Publish(job(fmt.Sprint("more", i), pull.Queued, "")) // there is always something on its way
			time.Sleep(flushLimit / 4)
			read(0).do(w)
			synctest.Wait()
		}
		if j := r.Latest("19"); j == nil || j.Position.Replica != "" {
			t.Errorf("it was told as %v", j)
		}
	})
}

func TestWhatTheLogSaysHoldsForNewReaders(t *testing.T) {
	h := New("r")
	mine, shared := job("a", pull.Failed, "as seen here"), job("a", pull.Failed, "as the log says")
	shared.Revision = mine.Revision
	h.Publish(mine)
	before, err := h.Subscribe(nil, pull.Position{})
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	got, _ := drain(t, before)
	expect(t, got, "a:as seen here")
	h.load(&contents{log: "l", place: 9, states: []state{{job: shared, place: 9}}})
	got, _ = drain(t, before)
	expect(t, got)
	after, err := h.Subscribe(nil, pull.Position{})
	if err != nil {
		t.Fatal(err)
	}
	defer after.Close()
	if j, err := after.Next(); err != nil || j == nil || j.Message != "as the log says" || j.RevisionID() != "l.9" {
		t.Errorf("a new reader is told %v, %v", j, err)
	}
}

// Redis may come back without the last entry while the leader goes on, and use its place again for another one. A reader is
// not shown that one: its name may stand before the one that was lost.
func TestALogThatHasLostItsEndIsNoticedHoweverSoonItGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := leaderless()
		defer w.close()
		w.follow(t, lead(0), write(0), read(1))
		reader, log := w.replicas[1], w.journal
		beat := func() {
			if _, err := log.append(t.Context(), log.log, end{}, marks{1, 1}, false, operation{kind: entryBeat}); err != nil {
				t.Fatal(err)
			}
		}
		beat()
		log.nonce = 100
		beat()
		if _, err := reader.advance(t.Context(), reader.at); err != nil {
			t.Fatal(err)
		}
		log.updates = log.updates[:len(log.updates)-1]
		log.seq, log.clock, log.last, log.nonce = log.seq-1, log.seq-1, log.updates[len(log.updates)-1].entry, 50
		beat()
		beat()
		if _, err := reader.advance(t.Context(), reader.at); !errors.Is(err, errGap) {
			t.Errorf("the reader went on: %v", err)
		}
	})
}

// A state that says what is known already may still be newer. What a replica sees next is compared with that.
func TestARevisionThatSaysNothingNewIsRemembered(t *testing.T) {
	h := New("r")
	first, later := job("a", pull.Pulling, "half"), job("a", pull.Pulling, "half")
	first.Revision, later.Revision = pull.Revision{Cluster: 1, Pods: 1}, pull.Revision{Cluster: 1, Pods: 5}
	h.Publish(first)
	sub, err := h.Subscribe(nil, pull.Position{})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	got, _ := drain(t, sub)
	expect(t, got, "a:half")
	h.Publish(later)
	got, _ = drain(t, sub)
	expect(t, got)
	if known := h.Latest("a").Revision; known != later.Revision {
		t.Errorf("revision %+v, want %+v", known, later.Revision)
	}
}

// A reader that has what a replica told by itself need not have all that stands before it in the log.
func TestAStateThatTheLogCorrectsHidesNothingFromItsReader(t *testing.T) {
	h := New("r")
	h.load(&contents{log: "l", place: 5})
	alone, shared := job("a", pull.Failed, "as seen here"), job("a", pull.Failed, "as the log says")
	shared.Revision = alone.Revision
	h.Publish(alone)
	h.follow(record{kind: entryState, place: 6, job: job("b", pull.Succeeded, "b1")})
	h.follow(record{kind: entryState, place: 7, job: shared})
	reader, err := h.Subscribe(nil, pull.Position{})
	if err != nil {
		t.Fatal(err)
	}
	first, err := reader.Next()
	if err != nil || first == nil || first.ID != "a" {
		t.Fatalf("first comes %v, %v", first, err)
	}
	reader.Close()
	again, err := h.Subscribe(nil, first.Position)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	got, _ := drain(t, again)
	expect(t, got, "b:b1")
}

// A new leader may hold every end that it sees for a while. It leads all the same.
func TestALeaderThatHoldsAllItSeesGivesSignsOfLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1)
		defer w.close()
		w.follow(t, lead(0), watch(0), attach(0))
		r := w.replicas[0]
		r.marked = marks{}
		before := len(w.journal.updates)
		r.writeBatch(t.Context(), true)
		if len(w.journal.updates) != before+1 {
			t.Error("no sign of life was written")
		}
	})
}

// A mutation that has returned is in the lists of its replica, also when the log goes away in that moment.
func TestWhatIsPublishedAsTheLogGoesAwayIsKnownOnceItIsFlushed(t *testing.T) {
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

// A replica of Redis that had not heard of a newer log may take over. Readers of that would wait for a log of before to come as
// far.
func TestALogOfBeforeWithWhichRedisComesBackIsReplaced(t *testing.T) {
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
			t.Errorf("the replica goes on with a log of before: %v", err)
		}
		w.follow(t, attach(0), visit(0), happen, see(0), write(0), read(0))
		if got := w.messages(); !slices.Equal(got, []string{"a QUEUED", "b QUEUED", "c QUEUED"}) {
			t.Errorf("the client was told %v", got)
		}
	})
}
