package feed

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"pullwatch/internal/pull"
)

// filtered returns a subscription to the pulls in ids, or to all, that gets only some phases.
func filtered(t *testing.T, h *Hub, ids []string, after pull.Position, history bool, phases ...pull.Phase) *Subscription {
	t.Helper()
	s, err := h.Subscribe(ids, after)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	s.Filter(phases, history)
	return s
}

// everyPhase returns a Hub with a pull in each phase, whose id and message are its phase.
func everyPhase() *Hub {
	h := New("r")
	for _, phase := range []pull.Phase{pull.Queued, pull.Pending, pull.Pulling, pull.Retrying, pull.Succeeded, pull.Failed, pull.Canceled} {
		h.Publish(newState(string(phase), phase, "now"))
	}
	return h
}

func TestASubscriberGetsOnlyThePhasesThatItWants(t *testing.T) {
	h := everyPhase()
	s := filtered(t, h, nil, pull.Position{}, true, pull.Pulling, pull.Failed)
	got, _ := drain(t, s)
	expect(t, got, "PULLING:now", "FAILED:now")
	h.Publish(newState("PULLING", pull.Pulling, "on"))
	h.Publish(newState("QUEUED", pull.Pending, "on"))
	h.Publish(newState("new", pull.Queued, "new"))
	got, _ = drain(t, s)
	expect(t, got, "PULLING:on")
}

func TestASubscriberLearnsThatAPullLeavesThePhases(t *testing.T) {
	for _, ids := range [][]string{nil, {"PULLING", "QUEUED"}} {
		h := everyPhase()
		s := filtered(t, h, ids, pull.Position{}, true, pull.Pulling)
		drain(t, s)
		h.Publish(newState("PULLING", pull.Retrying, "left"))
		got, _ := drain(t, s)
		expect(t, got, "PULLING:left")
		h.Publish(newState("PULLING", pull.Pending, "still out"))
		got, _ = drain(t, s)
		expect(t, got)
		h.Publish(newState("PULLING", pull.Pulling, "in"))
		h.Publish(newState("PULLING", pull.Succeeded, "left again")) // the reader was slow
		got, _ = drain(t, s)
		expect(t, got, "PULLING:left again")
	}
}

// The pull leaves the phases while the reader is slow, and goes on changing. Other pulls change in between.
func TestASlowSubscriberLearnsThatAPullHasLeftThePhases(t *testing.T) {
	h := everyPhase()
	s := filtered(t, h, nil, pull.Position{}, true, pull.Pulling, pull.Queued)
	drain(t, s)
	h.Publish(newState("PULLING", pull.Retrying, "left"))
	h.Publish(newState("QUEUED", pull.Queued, "in"))
	if state, _ := s.Next(); state == nil || state.Message != "left" {
		t.Fatalf("got %+v", state)
	}
	h.Publish(newState("other", pull.Pulling, "in"))
	h.Publish(newState("other", pull.Pending, "left"))
	if state, _ := s.Next(); state == nil || state.ID != "QUEUED" {
		t.Fatalf("got %+v", state)
	}
	h.Publish(newState("other", pull.Retrying, "still out"))
	got, _ := drain(t, s)
	expect(t, got, "other:still out")
	h.Publish(newState("other", pull.Pending, "still out"))
	got, _ = drain(t, s)
	expect(t, got)
}

func TestFinishedPullsAreNotSentFirstWithoutHistory(t *testing.T) {
	h := everyPhase()
	s := filtered(t, h, nil, pull.Position{}, false)
	h.Publish(newState("PULLING", pull.Succeeded, "done"))
	got, _ := drain(t, s)
	expect(t, got, "QUEUED:now", "PENDING:now", "RETRYING:now", "PULLING:done")
}

func TestASubscriptionEndsWithItsPullsWhateverItGets(t *testing.T) {
	h := everyPhase()
	ended := filtered(t, h, []string{"FAILED"}, pull.Position{}, false)
	if got, err := drain(t, ended); !errors.Is(err, io.EOF) || len(got) > 0 {
		t.Errorf("got %v, %v of a pull that had ended", got, err)
	}
	s := filtered(t, h, []string{"QUEUED", "FAILED"}, pull.Position{}, true, pull.Pulling)
	if got, err := drain(t, s); err != nil || len(got) > 0 {
		t.Errorf("got %v, %v", got, err)
	}
	h.Publish(newState("QUEUED", pull.Canceled, "over"))
	if got, err := drain(t, s); !errors.Is(err, io.EOF) || len(got) > 0 {
		t.Errorf("got %v, %v when the last pull had ended", got, err)
	}
}

// A reader that returns learns of the pulls that have left the phases meanwhile, also where that is not remembered.
func TestAReaderThatReturnsLearnsWhatHasLeftThePhases(t *testing.T) {
	h := everyPhase()
	h.Publish(newState("PULLING", pull.Pulling, "on"))
	first := filtered(t, h, nil, pull.Position{}, false, pull.Pulling)
	last, err := first.Next()
	if err != nil || last == nil {
		t.Fatal(last, err)
	}
	first.Close()
	h.Publish(newState("PULLING", pull.Succeeded, "left"))
	h.Publish(newState("quick", pull.Failed, "new"))

	other := New("other") // which has learned of the pulls since
	other.SetResourceVersions(revision.Load(), 0)
	for _, state := range h.Pulls() {
		if state.ID == "PULLING" || state.ID == "QUEUED" {
			other.Publish(state)
		}
	}
	for name, hub := range map[string]*Hub{"the same replica": h, "another replica": other} {
		again := filtered(t, hub, nil, last.Position, false, pull.Pulling)
		got, _ := drain(t, again)
		if !slices.Contains(got, "PULLING:left") {
			t.Errorf("%s: got %v", name, got)
		}
		hub.Publish(newState("QUEUED", pull.Pending, "out"))
		got, _ = drain(t, again)
		expect(t, got)
	}
	failed := filtered(t, h, nil, last.Position, true, pull.Failed)
	got, _ := drain(t, failed)
	expect(t, got, "quick:new") // no pull leaves a phase that is final
}

// A reader that is now slow and now not, and that leaves and returns, knows in the end which pulls are in the phases, and their
// states.
func TestAReaderKnowsWhichPullsAreInThePhases(t *testing.T) {
	all := []pull.Phase{pull.Queued, pull.Pending, pull.Pulling, pull.Retrying}
	for seed := range uint64(500) {
		random := rand.New(rand.NewPCG(seed, 0))
		h := New("r")
		wanted := make([]pull.Phase, 0, len(all))
		for _, phase := range all {
			if random.IntN(2) == 0 {
				wanted = append(wanted, phase)
			}
		}
		if len(wanted) == 0 {
			wanted = append(wanted, pull.Pulling)
		}
		shown, last := map[string]*pull.State{}, pull.Position{}
		reader := filtered(t, h, nil, last, true, wanted...)
		read := func(most int) {
			for range most {
				state, err := reader.Next()
				if err != nil {
					t.Fatal(err)
				}
				if state == nil {
					return
				}
				shown[state.ID], last = state, state.Position
			}
		}
		for step := range 300 {
			h.Publish(newState(fmt.Sprint(random.IntN(5)), all[random.IntN(len(all))], fmt.Sprint(step)))
			switch random.IntN(10) {
			case 0, 1, 2:
				read(1 + random.IntN(3))
			case 3, 4:
				read(1000)
			case 5:
				reader.Close()
				reader = filtered(t, h, nil, last, true, wanted...)
			}
		}
		read(1000)
		for _, state := range h.Pulls() {
			is, knows := slices.Contains(wanted, state.Phase), shown[state.ID] != nil && slices.Contains(wanted, shown[state.ID].Phase)
			if is != knows || is && shown[state.ID].Message != state.Message {
				t.Fatalf("seed %d, phases %v: pull %s is %s %s, and the reader has %+v", seed, wanted, state.ID, state.Phase, state.Message, shown[state.ID])
			}
		}
		reader.Close()
	}
}
