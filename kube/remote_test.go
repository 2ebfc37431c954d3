package kube

import (
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pullwatch/internal/feed"
	"pullwatch/internal/pull"
	"pullwatch/internal/usererr"
	"pullwatch/kube/pullstate/statetest"
)

// finals collects the final states that are published, by pull.
func finals(t *testing.T, hub *feed.Hub) func() map[string][]*pull.State {
	t.Helper()
	updates, err := hub.Subscribe(nil, pull.Position{})
	if err != nil {
		t.Fatal(err)
	}
	published := map[string][]*pull.State{}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			state, err := updates.Await(t.Context())
			if err != nil || state.ID == "end" {
				return
			}
			if state.Phase.Final() {
				published[state.ID] = append(published[state.ID], state)
			}
		}
	}()
	return func() map[string][]*pull.State {
		hub.Publish(&pull.State{ID: "end", CreatedAt: statetest.Epoch})
		<-ended
		updates.Close()
		return published
	}
}

// A replica that does not watch knows what another one publishes, and publishes what it does itself.
func TestPullsStartCancelAndRetryOnAReplicaThatDoesNotWatch(t *testing.T) {
	api, hub := newAPI(t), feed.New("shared")
	watching, other := newReplicaOf(t, api, hub), newReplicaOf(t, api, hub)
	watching.run(t, NewLeader(watching.leaderOptions("watching", 1, nil)))
	ends := finals(t, hub)

	started := other.start(t, "nginx:1", "nginx:2", "nginx:1")
	first, queued := started[0].ID, started[1].ID
	if started[2].ID != first {
		t.Errorf("the same image twice: %s and %s", first, started[2].ID)
	}
	if hub.Latest(queued) == nil {
		t.Error("a pull that was started is not known")
	}
	watching.await(t, first, phase(pull.Pending))
	pod := watching.runPod(t, first, corev1.PodRunning, *statetest.Running())
	report(t, api, pod, 30, 60)
	watching.await(t, first, func(state *pull.State) bool { return state.Progress.Percent == 50 })
	if again := other.start(t, "nginx:1")[0]; again.ID != first || again.Phase != pull.Pulling || again.Progress.Percent != 50 {
		t.Errorf("joined: %+v", again)
	}

	canceled, err := other.pulls.Cancel(t.Context(), first)
	if err != nil || canceled.Phase != pull.Canceled || canceled.Progress.Percent != 50 || canceled.Attempts != 1 ||
		canceled.Progress.BytesPerSecond != nil || canceled.StartedAt != hub.Latest(first).StartedAt {
		t.Errorf("canceled: %+v, %v", canceled, err)
	}
	watching.await(t, queued, phase(pull.Pending))
	watching.finish(t, queued, batchv1.JobFailed, "BackoffLimitExceeded")
	watching.await(t, queued, phase(pull.Failed))
	retried, err := other.pulls.Retry(t.Context(), queued)
	if err != nil || retried.ID == queued || *retried.RetryOf != queued {
		t.Fatalf("%+v, %v", retried, err)
	}
	watching.await(t, retried.ID, phase(pull.Pending))
	for id, states := range ends() {
		if len(states) != 1 {
			t.Errorf("%s ended %d times: %+v", id, len(states), states)
		}
	}
	if again := other.start(t, "nginx:1")[0]; again.ID == first {
		t.Error("the id of a canceled pull was used again")
	}
}

func TestAPullOfAnotherReplicaIsFoundByItsID(t *testing.T) {
	api := newAPI(t)
	a, b := newReplica(t, api, "a", 1), newReplicaOf(t, api, feed.New("b"))
	id := a.start(t, "nginx")[0].ID
	a.await(t, id, phase(pull.Pending))
	a.runPod(t, id, corev1.PodRunning, *statetest.Running())
	got, err := b.pulls.Find(t.Context(), id)
	if err != nil || got == nil || got.Phase != pull.Pulling || b.hub.Latest(id) != got {
		t.Errorf("%+v, %v", got, err)
	}
	for _, id := range []string{"", "nope", "../x", strings.Repeat("x", 1000)} {
		if got, err := b.pulls.Find(t.Context(), id); got != nil || err != nil {
			t.Errorf("%.20q: %+v, %v", id, got, err)
		}
	}
	b.refuse.on.Store(true)
	if _, err := b.pulls.Find(t.Context(), id); usererr.CodeOf(err) != usererr.Unavailable {
		t.Errorf("%v", err)
	}
}

// The feed's state of a running pull may be stale.
func TestEndedPullsAreNotJoined(t *testing.T) {
	api := newAPI(t)
	r := newReplicaOf(t, api, feed.New("a"))
	r.hub.SetSynced()
	first := r.start(t, "nginx")[0].ID
	r.finish(t, first, batchv1.JobComplete, "")
	second := r.start(t, "nginx")[0].ID
	if second == first {
		t.Error("a pull that has ended is joined")
	}
	if err := r.client.BatchV1().Jobs(testNamespace).Delete(t.Context(), second, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if third := r.start(t, "nginx")[0].ID; third == second || third == first {
		t.Error("a pull whose Job is gone is joined, or its id used again")
	}
}

func TestListsReadFromKubernetesKeepWhatTheCopierWrote(t *testing.T) {
	api := newAPI(t)
	r := newReplicaOf(t, api, feed.New("a"))
	r.hub.SetSynced()
	started := r.start(t, "nginx:1", "nginx:2", "nginx:3")
	r.finish(t, started[2].ID, batchv1.JobFailed, "BackoffLimitExceeded")
	active, failed, version, err := NewReader(r.client, testNamespace, r.hub.Latest).Load(t.Context())
	if err != nil || len(active) != 2 || len(failed) != 1 || failed[0].ID != started[2].ID || version < failed[0].Revision.Cluster {
		t.Fatalf("%+v, %+v, %d, %v", active, failed, version, err)
	}
	if active[0] != r.hub.Latest(started[1].ID) {
		t.Error("a known state was not taken")
	}
	r.refuse.on.Store(true)
	if _, _, _, err := NewReader(r.client, testNamespace, r.hub.Latest).Load(t.Context()); usererr.CodeOf(err) != usererr.Unavailable {
		t.Errorf("%v", err)
	}
}
