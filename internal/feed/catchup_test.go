package feed

import (
	"testing"
	"testing/synctest"

	"pullwatch/internal/pull"
	"pullwatch/internal/usererr"
)

// ahead returns a Hub at offset 10 of a shared log, and a subscription of a reader that got offset 20 from another replica.
func ahead(t *testing.T, ids ...string) (*Hub, *Subscription) {
	h := New("r")
	known, over := newState("known", pull.Pulling, "known"), newState("over", pull.Failed, "over")
	h.Load(Contents{Log: "l", Offset: 10, Pulls: []Pull{{State: known, Offset: 9}, {State: over, Offset: 10}}})
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
		h.Load(Contents{Log: "m", Offset: 1000, Pulls: []Pull{{State: newState("known", pull.Succeeded, "done"), Offset: 1000}}})
		got, _ := drain(t, s)
		expect(t, got, "over:over", "known:done")
	})
}

func TestASubscriptionDoesNotEndOnAReplicaThatIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, s := ahead(t, "over")
		if state, err := s.Next(); state != nil || err != nil {
			t.Errorf("a reader that knows more got %v, %v", state, err)
		}
		if _, err := h.Subscribe([]string{"later"}, pull.Position{Log: "l", Seq: 20}); usererr.CodeOf(err) != usererr.Unavailable {
			t.Errorf("a pull that the reader may know from elsewhere is %v", err)
		}
	})
}
