package kube

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pullwatch/internal/feed"
	"pullwatch/internal/pull"
	"pullwatch/internal/usererr"
)

func (r *replica) hold(t *testing.T, id string) *pull.State {
	t.Helper()
	state, err := r.pulls.Hold(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return state
}

func (r *replica) release(t *testing.T, id string) *pull.State {
	t.Helper()
	state, err := r.pulls.Release(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return state
}

func TestAHeldPullLetsThoseBehindItPassUntilItIsReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplica(t, newAPI(t), "a", 1)
		started := r.start(t, "nginx:1", "nginx:2", "nginx:3")
		first, held, third := started[0].ID, started[1].ID, started[2].ID
		r.await(t, first, phase(pull.Pending))
		if state := r.hold(t, held); !state.Held || state.Message != "Held. releasePull lets it start." {
			t.Errorf("%+v", state)
		}
		again := r.hold(t, held)
		if !again.Held || again.Revision != r.hub.Latest(held).Revision {
			t.Errorf("held twice: %+v", again)
		}
		r.finish(t, first, batchv1.JobComplete, "")
		r.await(t, third, phase(pull.Pending))
		r.finish(t, third, batchv1.JobComplete, "")
		time.Sleep(time.Hour) // fake time
		if state := r.hub.Latest(held); state.Phase != pull.Queued || !state.Held {
			t.Errorf("an hour later it is %s: %s", state.Phase, state.Message)
		}
		if state := r.release(t, held); state.Held || state.Message != pull.WaitsForSlot {
			t.Errorf("released: %+v", state)
		}
		r.await(t, held, phase(pull.Pending))
		if state := r.release(t, held); state.Phase != pull.Pending || state.Held {
			t.Errorf("released again: %+v", state)
		}
	})
}

// Nothing is left of the replicas that knew of it: neither their memory nor Redis.
func TestAHeldPullIsHeldAfterAllReplicasWereRestarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newAPI(t)
		before := newReplica(t, api, "a", 1)
		started := before.start(t, "nginx:1", "nginx:2")
		before.await(t, started[0].ID, phase(pull.Pending))
		before.hold(t, started[1].ID)
		before.stop()
		after := newReplica(t, api, "b", 2)
		time.Sleep(time.Minute) // fake time
		if state := after.hub.Latest(started[1].ID); state.Phase != pull.Queued || !state.Held {
			t.Errorf("%s: %s", state.Phase, state.Message)
		}
		after.release(t, started[1].ID)
		after.await(t, started[1].ID, phase(pull.Pending))
	})
}

// Two replicas without Redis: each sees the hold in the cluster.
func TestEveryReplicaTellsItsSubscribersOfAHold(t *testing.T) {
	api := newAPI(t)
	a, b := newReplica(t, api, "a", 1), newReplica(t, api, "b", 1)
	started := a.start(t, "nginx:1", "nginx:2")
	b.await(t, started[1].ID, phase(pull.Queued))
	b.hold(t, started[1].ID)
	for _, r := range []*replica{a, b} {
		r.await(t, started[1].ID, func(s *pull.State) bool { return s.Held })
	}
	a.release(t, started[1].ID)
	for _, r := range []*replica{a, b} {
		r.await(t, started[1].ID, func(s *pull.State) bool { return !s.Held })
	}
}

func TestOnlyPullsInTheQueueCanBeHeld(t *testing.T) {
	r := newReplica(t, newAPI(t), "a", 1)
	started := r.start(t, "nginx:1", "nginx:2")
	running, waiting := started[0].ID, started[1].ID
	r.await(t, running, phase(pull.Pending))
	refused := func(id string, code usererr.Code, says string) {
		t.Helper()
		_, err := r.pulls.Hold(t.Context(), id)
		if usererr.CodeOf(err) != code || !strings.Contains(err.Error(), says) {
			t.Errorf("holding %s: %v", id, err)
		}
	}
	refused(running, usererr.Conflict, "cancelPull stops it")
	refused("no-such-pull", usererr.NotFound, "there is no pull")
	refused("No such\npull!", usererr.NotFound, "there is no pull")
	if _, err := r.pulls.Release(t.Context(), "no-such-pull"); usererr.CodeOf(err) != usererr.NotFound {
		t.Errorf("releasing a pull that does not exist: %v", err)
	}
	r.finish(t, running, batchv1.JobComplete, "")
	refused(running, usererr.Conflict, "has already ended")
	r.await(t, waiting, phase(pull.Pending))
}

// The leader starts the pull after its Job was read.
func TestAPullThatStartsAsItIsHeldIsToldAsRunning(t *testing.T) {
	r := newReplicaOf(t, newAPI(t), feed.New("a"))
	r.watch.Demand()
	r.run(t, nil)
	id := r.start(t, "nginx")[0].ID
	jobs := r.client.BatchV1().Jobs(testNamespace)
	next, raced := r.refuse.RoundTripper, false
	r.refuse.RoundTripper = roundTripper(func(req *http.Request) (*http.Response, error) {
		if strings.HasSuffix(req.URL.Path, "/status") && !raced {
			raced = true
			if _, err := jobs.Patch(t.Context(), id, "application/merge-patch+json", []byte(`{"spec":{"suspend":false}}`), metav1.PatchOptions{}); err != nil {
				t.Error(err)
			}
		}
		return next.RoundTrip(req)
	})
	if state, err := r.pulls.Hold(t.Context(), id); usererr.CodeOf(err) != usererr.Conflict {
		t.Errorf("%+v, %v", state, err)
	}
	if state := r.await(t, id, phase(pull.Pending)); state.Held {
		t.Errorf("it runs and says that it is held: %+v", state)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestAHeldPullIsCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplica(t, newAPI(t), "a", 1)
		started := r.start(t, "nginx:1", "nginx:2")
		r.hold(t, started[1].ID)
		state, err := r.pulls.Cancel(t.Context(), started[1].ID)
		if err != nil || state.Phase != pull.Canceled || state.Held {
			t.Errorf("%+v, %v", state, err)
		}
		if _, err := r.pulls.Hold(t.Context(), started[1].ID); usererr.CodeOf(err) != usererr.Conflict {
			t.Errorf("holding it then: %v", err)
		}
		time.Sleep(10 * time.Second) // fake time
		synctest.Wait()
		if names := r.jobNames(t); len(names) != 1 {
			t.Errorf("Jobs are left: %v", names)
		}
	})
}

// It waits in no place of those that can start, so no pull gives its slot up for it.
func TestNoPullMakesRoomForAHeldOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := leading(t, 1, time.Hour)
		stuck := r.start(t, "nginx:1")[0].ID
		r.starts(t, stuck)
		r.warn(t, r.job(t, stuck), "Job", "FailedCreate", noRoom)
		r.await(t, stuck, says("exceeded quota"))
		held := r.start(t, "nginx:2")[0].ID
		r.hold(t, held)
		time.Sleep(10 * time.Minute) // fake time
		if state := r.hub.Latest(stuck); state.Phase != pull.Pending {
			t.Errorf("it is %s: %s", state.Phase, state.Message)
		}
		r.release(t, held)
		r.await(t, held, phase(pull.Pending))
	})
}
