package feed

import (
	"testing"

	"pullwatch/internal/pull"
)

func TestNewReadersGetWhatTheSharedLogSays(t *testing.T) {
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
	h.Load(Contents{Log: "l", Offset: 9, Pulls: []Pull{{State: shared, Offset: 9}}})
	got, _ = drain(t, before)
	expect(t, got)
	after, err := h.Subscribe(nil, pull.Position{})
	if err != nil {
		t.Fatal(err)
	}
	defer after.Close()
	if state, err := after.Next(); err != nil || state == nil || state.Message != "as the log says" || state.RevisionID() != "l.9" {
		t.Errorf("a new reader gets %v, %v", state, err)
	}
}

func TestReadersGetOneSnapshotAfterTheSharedLogWasReplaced(t *testing.T) {
	h := New("r")
	a, b, c := newState("a", pull.Canceled, "1"), newState("b", pull.Pulling, "2"), newState("c", pull.Pulling, "3")
	h.Load(Contents{Log: "first", Offset: 3, Pulls: []Pull{{State: a, Offset: 1}, {State: b, Offset: 2}, {State: c, Offset: 3}}})
	// The next log holds b before a. Who has a of it need not have b.
	h.Load(Contents{Log: "second", Offset: 13, Pulls: []Pull{{State: b, Offset: 11}, {State: a, Offset: 12}, {State: c, Offset: 13}}})
	after := pull.Position{Log: "first", Seq: 3}
	for _, want := range [][]string{{"a:1", "b:2", "c:3"}, nil} {
		sub, err := h.Subscribe(nil, after)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for state, err := sub.Next(); err == nil && state != nil; state, err = sub.Next() {
			got, after = append(got, state.ID+":"+state.Message), state.Position
			if state.ID == "a" && state.Position.Log == "second" {
				t.Error("a reader of a alone would miss b")
			}
		}
		sub.Close()
		expect(t, got, want...)
	}
}

// A state with nothing new in it may still have a newer revision. Later states are compared with that.
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

// A reader that has what a replica published by itself may lack what comes before it in the shared log.
func TestAReaderOfAStateThatTheSharedLogCorrectsMissesNothing(t *testing.T) {
	h := New("r")
	h.Load(Contents{Log: "l", Offset: 5})
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

// A replica that has been started while Redis is away publishes what it sees by itself.
func TestAReaderOfAReplicaThatReadsTheSharedLogLateGetsNothingTwice(t *testing.T) {
	h := New("r")
	h.Publish(newState("a", pull.Queued, "a1"))
	reader, err := h.Subscribe(nil, pull.Position{})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	got, _ := drain(t, reader)
	expect(t, got, "a:a1")
	h.Load(Contents{Log: "l", Offset: 5, Pulls: []Pull{{State: newState("b", pull.Pulling, "b1"), Offset: 5}}})
	b, err := reader.Next()
	if err != nil || b == nil || b.ID != "b" {
		t.Fatalf("%v, %v", b, err)
	}
	back, err := h.Subscribe(nil, b.Position)
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	got, _ = drain(t, back)
	expect(t, got)
}

// Other replicas do not know what the position means that a state had when this one published it by itself.
func TestAStateThatAReplicaPublishedByItselfHasItsPlaceInTheSharedLogOnceThatHoldsIt(t *testing.T) {
	h := New("r")
	a := newState("a", pull.Queued, "a1")
	h.Publish(a)
	h.Load(Contents{Log: "l", Offset: 5})
	c := newState("c", pull.Queued, "c1")
	h.Publish(c)
	h.Follow(Entry{Offset: 6, Change: Change{State: a}})
	if at := h.Latest("a").Position; at.Replica == "" {
		t.Errorf("a reader of a has c, too, which is not in the log yet, but its position is %s", at)
	}
	h.Follow(Entry{Offset: 7, Change: Change{State: c}})
	for id, offset := range map[string]uint64{"a": 6, "c": 7} {
		if at, want := h.Latest(id).Position, (pull.Position{Log: "l", Seq: offset}); at != want {
			t.Errorf("the position of %s is %s, want %s", id, at, want)
		}
	}
}
