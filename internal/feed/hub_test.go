package feed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"
	"pullwatch/internal/pull"
	"pullwatch/internal/usererr"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var revision atomic.Uint64

// newState returns a state that supersedes all that were made before.
func newState(id string, phase pull.Phase, message string) *pull.State {
	return &pull.State{ID: id, Phase: phase, Message: message, Revision: pull.Revision{Cluster: revision.Add(1)}}
}

// drain returns the states that a subscription has ready, as "id:message", and its end, if it ended.
func drain(t *testing.T, s *Subscription) (got []string, err error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for {
		state, err := s.Await(ctx)
		if errors.Is(err, context.Canceled) {
			return got, nil
		}
		if err != nil {
			return got, err
		}
		got = append(got, state.ID+":"+state.Message)
	}
}

func subscribe(t *testing.T, h *Hub, ids []string) *Subscription {
	t.Helper()
	s, err := h.Subscribe(ids, pull.Position{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestSubscribersGetTheStateThenEveryChange(t *testing.T) {
	h := New("r")
	h.Publish(newState("a", pull.Queued, "1"))
	h.Publish(newState("b", pull.Queued, "1"))
	h.Publish(newState("a", pull.Pulling, "2"))
	all, one := subscribe(t, h, nil), subscribe(t, h, []string{"b", "b"})
	got, _ := drain(t, all)
	expect(t, got, "b:1", "a:2")
	got, _ = drain(t, one)
	expect(t, got, "b:1")
	h.Publish(newState("b", pull.Pulling, "2"))
	h.Publish(newState("c", pull.Queued, "1"))
	got, _ = drain(t, all)
	expect(t, got, "b:2", "c:1")
	got, _ = drain(t, one)
	expect(t, got, "b:2")
}

func TestASlowSubscriberGetsTheLatestState(t *testing.T) {
	h := New("r")
	h.Publish(newState("a", pull.Queued, "0"))
	all, one := subscribe(t, h, nil), subscribe(t, h, []string{"a"})
	for i := range 10_000 {
		h.Publish(newState("a", pull.Pulling, fmt.Sprint(i)))
	}
	h.Publish(newState("a", pull.Succeeded, "end"))
	got, _ := drain(t, all)
	expect(t, got, "a:end")
	got, err := drain(t, one)
	expect(t, got, "a:end")
	if !errors.Is(err, io.EOF) {
		t.Errorf("all ids have ended, but: %v", err)
	}
	if len(h.slots) > 200 {
		t.Errorf("one pull has %d slots", len(h.slots))
	}
}

func TestASubscriptionEndsWhenAllItsPullsHaveEnded(t *testing.T) {
	h := New("r")
	h.Publish(newState("a", pull.Pulling, "1"))
	h.Publish(newState("b", pull.Failed, "1"))
	s := subscribe(t, h, []string{"a", "b"})
	got, err := drain(t, s)
	expect(t, got, "a:1", "b:1")
	if err != nil {
		t.Fatal(err)
	}
	h.Publish(newState("b", pull.Failed, "2")) // its end was delivered already
	h.Publish(newState("a", pull.Canceled, "2"))
	h.Retire("a")
	got, err = drain(t, s)
	expect(t, got, "a:2")
	if !errors.Is(err, io.EOF) {
		t.Errorf("%v", err)
	}
	if _, err := drain(t, subscribe(t, h, []string{})); !errors.Is(err, io.EOF) {
		t.Errorf("of no pulls: %v", err)
	}
}

func TestSubscribingToAnUnknownPullIsNotFound(t *testing.T) {
	h := New("r")
	h.Publish(newState("a", pull.Queued, "1"))
	if _, err := h.Subscribe([]string{"a", "nope"}, pull.Position{}); usererr.CodeOf(err) != usererr.NotFound {
		t.Errorf("%v", err)
	}
	if h.subscriptions+len(h.latest["a"].readers) != 0 {
		t.Error("a refused subscription is kept")
	}
}

func TestRetiredPullsAreKnownByIdUntilForgotten(t *testing.T) {
	h := New("r")
	h.Publish(newState("a", pull.Queued, "1"))
	early := subscribe(t, h, nil)
	h.Publish(newState("a", pull.Canceled, "2"))
	h.Retire("a")
	got, _ := drain(t, early)
	expect(t, got, "a:2")
	got, _ = drain(t, subscribe(t, h, nil))
	expect(t, got)
	got, _ = drain(t, subscribe(t, h, []string{"a"}))
	expect(t, got, "a:2")

	watched := subscribe(t, h, []string{"a"})
	for i := range 3 * MaxRetired {
		id := fmt.Sprint("p", i)
		h.Publish(newState(id, pull.Succeeded, ""))
		h.Retire(id)
	}
	if len(h.latest) > MaxRetired+2 || len(h.slots) > 3*MaxRetired {
		t.Errorf("%d pulls and %d slots are remembered", len(h.latest), len(h.slots))
	}
	if h.Latest("p0") != nil {
		t.Error("the oldest is not forgotten")
	}
	got, _ = drain(t, watched)
	expect(t, got, "a:2")
}

func TestAwaitReturnsTheNextState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New("r")
		s := subscribe(t, h, nil)
		got := make(chan string)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			defer close(got)
			for {
				state, err := s.Await(ctx)
				if err != nil {
					return
				}
				got <- state.Message
			}
		}()
		synctest.Wait()
		h.Publish(newState("a", pull.Queued, "1"))
		if m := <-got; m != "1" {
			t.Error(m)
		}
		cancel()
		if m, open := <-got; open {
			t.Error(m)
		}
	})
}

func TestNotifyWakesOnlySubscribersOfThePull(t *testing.T) {
	h := New("r")
	h.Publish(newState("a", pull.Queued, "1"))
	all, one := subscribe(t, h, nil), subscribe(t, h, []string{"a"})
	var woken []string
	all.Notify(func() { woken = append(woken, "all") })
	one.Notify(func() { woken = append(woken, "one") })
	expect(t, woken)
	h.Publish(newState("a", pull.Pulling, "2"))
	h.Publish(newState("b", pull.Queued, "1"))
	expect(t, woken, "all", "one", "all")
	all.Close()
	one.Close()
	h.Publish(newState("a", pull.Succeeded, "3"))
	expect(t, woken, "all", "one", "all")
}

func TestConflatedStatesAreCounted(t *testing.T) {
	h := New("r")
	h.Publish(newState("a", pull.Queued, "1"))
	all, one := subscribe(t, h, nil), subscribe(t, h, []string{"a"})
	drain(t, all)
	drain(t, one)
	h.Publish(newState("a", pull.Pulling, "2"))
	drain(t, all)
	h.Publish(newState("b", pull.Queued, "1"))
	h.Publish(newState("a", pull.Pulling, "3")) // one has not got the state before
	h.Publish(newState("a", pull.Pulling, "4")) // neither has got the one before
	if h.conflated != 3 {
		t.Errorf("%d states were conflated, want 3", h.conflated)
	}
}

func TestCloseReleasesTheSubscription(t *testing.T) {
	h := New("r")
	h.Publish(newState("a", pull.Queued, "1"))
	for _, ids := range [][]string{nil, {"a"}} {
		s, err := h.Subscribe(ids, pull.Position{})
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		s.Close()
	}
	if h.subscriptions+len(h.all)+len(h.latest["a"].readers) != 0 {
		t.Error("closed subscriptions are kept")
	}
}

// Two replicas may start a pull at the same moment, and a version of before may have left two.
func TestTwoPullsOfOneRouteCountAsTwoAndEachCanBeJoined(t *testing.T) {
	h := New("r")
	route := pull.Route{Image: "nginx:1", Destination: "harbor.example/nginx:1"}
	publish := func(id string, phase pull.Phase) {
		state := newState(id, phase, "")
		state.Image.Name, state.Destination.Name = route.Image, route.Destination
		h.Publish(state)
	}
	expectRunning := func(want string, count int) {
		t.Helper()
		id := ""
		if state := h.Running(route); state != nil {
			id = state.ID
		}
		if n := h.ActiveCount(); id != want || n != count {
			t.Errorf("%q of %d can be joined; want %q of %d", id, n, want, count)
		}
	}
	publish("a", pull.Pulling)
	publish("b", pull.Queued)
	expectRunning("a", 2)
	publish("a", pull.Succeeded)
	expectRunning("b", 1)
	publish("c", pull.Queued)
	h.Retire("b")
	expectRunning("c", 1)
	publish("c", pull.Canceled)
	expectRunning("", 0)
}
