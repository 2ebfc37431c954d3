package replica

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pullwatch/cache"
	"pullwatch/internal/pull"
	"pullwatch/resolvers"
)

// fixedLists is a list of active pulls.
type fixedLists struct {
	resolvers.Lists
	result cache.Result
}

func (l *fixedLists) Active(context.Context) (cache.Result, error) { return l.result, nil }

func (l *fixedLists) latest(id string) *pull.State {
	for _, state := range l.result.States {
		if state.ID == id {
			return state
		}
	}
	return nil
}

// fixedRole knows who leads.
type fixedRole struct {
	leader string
	none   error
}

func (r *fixedRole) Leads() bool     { return r.leader == "me" }
func (r *fixedRole) Leader() string  { return r.leader }
func (r *fixedRole) Obstacle() error { return r.none }

func queuedPull(id string) *pull.State {
	return &pull.State{ID: id, Phase: pull.Queued, Message: pull.WaitsForSlot}
}

func TestQueuedPullsSayThatNobodyLeads(t *testing.T) {
	refused := &pull.State{ID: "refused", Phase: pull.Queued, Message: "Kubernetes refuses to start this Job."}
	runs := &pull.State{ID: "runs", Phase: pull.Pulling, Message: "Copying"}
	lists := &fixedLists{result: cache.Result{States: []*pull.State{queuedPull("a"), refused, runs}, Generation: 7}}
	role := &fixedRole{leader: "other"}
	q := &queueView{Lists: lists, role: role, maxParallel: 1, latest: lists.latest}
	ask := func() cache.Result {
		t.Helper()
		result, err := q.Active(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	well := ask()
	if well.Generation != 7 || well.States[0].Message != pull.WaitsForSlot {
		t.Errorf("while another replica leads: %d %q", well.Generation, well.States[0].Message)
	}
	role.leader, role.none = "", errors.New("no server leads at the moment")
	ill, again := ask(), ask()
	if ill.Generation == well.Generation || ill.Generation != again.Generation || &ill.States[0] != &again.States[0] {
		t.Errorf("the lists are of the generations %d, %d and %d, or made anew each time", well.Generation, ill.Generation, again.Generation)
	}
	if ill.States[0].Message != "Waits in the queue: no server leads at the moment." {
		t.Errorf("it says %q", ill.States[0].Message)
	}
	if ill.States[1] != refused || ill.States[2] != runs || lists.result.States[0].Message != pull.WaitsForSlot {
		t.Error("other states have changed")
	}
	if got := q.explain(queuedPull("b")); got.Message != ill.States[0].Message {
		t.Errorf("one pull says %q", got.Message)
	}
	role.leader, role.none = "me", nil
	if back := ask(); back.Generation != 7 || back.States[0].Message != pull.WaitsForSlot || q.explain(queuedPull("b")).Message != pull.WaitsForSlot {
		t.Errorf("back again: %d %q", back.Generation, back.States[0].Message)
	}
}

// Another program may hold the Lease, or a server that allows fewer pulls at a time.
func TestQueuedPullsSayWhoStartsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lists := &fixedLists{result: cache.Result{States: []*pull.State{queuedPull("a")}, Generation: 7}}
		role := &fixedRole{leader: "some-program"}
		q := &queueView{Lists: lists, role: role, maxParallel: 1, latest: lists.latest}
		message := func() string {
			result, err := q.Active(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return result.States[0].Message
		}
		if got := message(); got != pull.WaitsForSlot {
			t.Errorf("at first it says %q", got)
		}
		time.Sleep(stuckAfter + time.Second)
		if got := message(); !strings.Contains(got, "some-program, which holds the Lease, starts no pull") {
			t.Errorf("later it says %q", got)
		}
		lists.result.States = append(lists.result.States, &pull.State{ID: "b", Phase: pull.Pulling})
		lists.result.Generation++
		if got := message(); got != pull.WaitsForSlot {
			t.Errorf("while all slots are taken it says %q", got)
		}
	})
}

// Answers with one pull must not depend on when the lists were read.
func TestOnePullSaysWhatIsSoNow(t *testing.T) {
	lists := &fixedLists{result: cache.Result{States: []*pull.State{queuedPull("a")}, Generation: 7}}
	role := &fixedRole{none: errors.New("no server is known to lead at the moment")}
	q := &queueView{Lists: lists, role: role, maxParallel: 1, latest: lists.latest}
	if _, err := q.Active(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := q.explain(queuedPull("a")).Message; got != "Waits in the queue: no server is known to lead at the moment." {
		t.Errorf("while nobody leads it says %q", got)
	}
	role.leader, role.none = "other", nil
	if got := q.explain(queuedPull("a")).Message; got != pull.WaitsForSlot {
		t.Errorf("once another replica leads it says %q", got)
	}
}

func TestAPullSaysThatNoneIsStartedWhileThatIsSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lists := &fixedLists{}
		role := &fixedRole{leader: "other"}
		q := &queueView{Lists: lists, role: role, maxParallel: 2, latest: lists.latest}
		generation := uint64(0)
		read := func(states ...*pull.State) cache.Result {
			generation++
			lists.result = cache.Result{States: states, Generation: generation}
			result, err := q.Active(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return result
		}
		well := func(when string, states ...*pull.State) {
			t.Helper()
			for _, state := range states {
				if got := q.explain(state); waits(state) && got.Message != pull.WaitsForSlot {
					t.Errorf("%s it says %q", when, got.Message)
				}
			}
		}
		refused := &pull.State{ID: "refused", Phase: pull.Queued, Message: "Kubernetes refuses to start this Job."}
		read(refused, queuedPull("a"))
		time.Sleep(stuckAfter + time.Second)
		well("when another pull has just been made", read(refused, queuedPull("b")).States...)
		well("when one has just been made beside one that is refused", queuedPull("b"))
		time.Sleep(stuckAfter + time.Second)
		told := read(refused, queuedPull("b"), queuedPull("c"))
		if first, one := told.States[1].Message, q.explain(queuedPull("c")).Message; first == pull.WaitsForSlot || one != first || told.States[0] != refused {
			t.Errorf("in the list: %q; by itself: %q", first, one)
		}
		if again := read(refused, queuedPull("b"), queuedPull("c")); again.Generation == told.Generation {
			t.Errorf("another list is of the same generation %d", again.Generation)
		}
		lists.result.States = []*pull.State{{ID: "b", Phase: pull.Pending}, queuedPull("c")} // as updates tell
		well("once the first has started", queuedPull("c"))
		read(queuedPull("b"))
		role.leader = "third"
		well("under another leader", queuedPull("b"))
	})
}
