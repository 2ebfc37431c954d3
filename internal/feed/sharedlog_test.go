package feed

import (
	"testing"
	"testing/synctest"

	"pullwatch/internal/pull"
	"pullwatch/internal/usererr"
)

// ahead returns a Hub at place 10 of a log, and a subscription of a reader that has come to place 20 on another replica.
func ahead(t *testing.T, ids ...string) (*Hub, *Subscription) {
	h := New("r")
	known, over := newState("known", pull.Pulling, "known"), newState("over", pull.Failed, "over")
	h.Load(Snapshot{Log: "l", Offset: 10, Pulls: []Pull{{State: known, Offset: 9}, {State: over, Offset: 10}}})
	s, err := h.Subscribe(ids, pull.Position{Log: "l", Seq: 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return h, s
}

func TestAReaderThatIsAheadWaitsForTheReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, s := ahead(t)
		h.Publish(newState("known", pull.Pulling, "by itself"))
		h.Follow(Entry{Offset: 19, Change: Change{State: newState("known", pull.Succeeded, "seen")}})
		got, _ := drain(t, s)
		expect(t, got)
		woken := false
		s.Notify(func() { woken = true })
		h.Follow(Entry{Offset: 21, Change: Change{State: newState("next", pull.Queued, "new")}})
		if !woken {
			t.Error("the reader was not woken")
		}
		got, _ = drain(t, s)
		expect(t, got, "next:new")
	})
}

func TestAReaderThatIsAheadGetsASnapshotWhenTheReplicaStaysBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, s := ahead(t)
		if _, err := s.Await(t.Context()); err != nil {
			t.Fatal(err)
		}
		got, _ := drain(t, s)
		expect(t, got, "over:over")
	})
}

func TestAReaderThatIsAheadGetsASnapshotOfAnotherLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, s := ahead(t)
		h.Load(Snapshot{Log: "m", Offset: 1000, Pulls: []Pull{{State: newState("known", pull.Succeeded, "done"), Offset: 1000}}})
		got, _ := drain(t, s)
		expect(t, got, "over:over", "known:done")
	})
}

func TestASubscriptionDoesNotEndOnAReplicaThatIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, s := ahead(t, "over")
		if state, err := s.Next(); state != nil || err != nil {
			t.Errorf("a reader that knows more was told %v, %v", state, err)
		}
		if _, err := h.Subscribe([]string{"later"}, pull.Position{Log: "l", Seq: 20}); usererr.CodeOf(err) != usererr.Unavailable {
			t.Errorf("a pull that the reader may know from elsewhere is %v", err)
		}
	})
}

func TestWhatTheLogSaysHoldsForNewReaders(t *testing.T) {
	h := New("r")
	mine, shared := newState("a", pull.Failed, "as seen here"), newState("a", pull.Failed, "as the log says")
	shared.Revision = mine.Revision
	h.Publish(mine)
	before, err := h.Subscribe(nil, pull.Position{})
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	got, _ := drain(t, before)
	expect(t, got, "a:as seen here")
	h.Load(Snapshot{Log: "l", Offset: 9, Pulls: []Pull{{State: shared, Offset: 9}}})
	got, _ = drain(t, before)
	expect(t, got)
	after, err := h.Subscribe(nil, pull.Position{})
	if err != nil {
		t.Fatal(err)
	}
	defer after.Close()
	if state, err := after.Next(); err != nil || state == nil || state.Message != "as the log says" || state.RevisionID() != "l.9" {
		t.Errorf("a new reader is told %v, %v", state, err)
	}
}

// A state that says what is known already may still be newer. What a replica sees next is compared with that.
func TestARevisionWithAnUnchangedStateIsRemembered(t *testing.T) {
	h := New("r")
	first, later := newState("a", pull.Pulling, "half"), newState("a", pull.Pulling, "half")
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
	h.Load(Snapshot{Log: "l", Offset: 5})
	alone, shared := newState("a", pull.Failed, "as seen here"), newState("a", pull.Failed, "as the log says")
	shared.Revision = alone.Revision
	h.Publish(alone)
	h.Follow(Entry{Offset: 6, Change: Change{State: newState("b", pull.Succeeded, "b1")}})
	h.Follow(Entry{Offset: 7, Change: Change{State: shared}})
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
