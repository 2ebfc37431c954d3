package kube

import (
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pullwatch/internal/demo/fakeapi"
	"pullwatch/internal/feed"
	"pullwatch/internal/pull"
	"pullwatch/kube/pullstate/statetest"
)

// absence is a cluster in which three pulls run that hub knows, and go while nobody watches: one is canceled, one deleted
// after it has succeeded, and one deleted before it has ended. A fourth goes on with another pod.
type absence struct {
	api                                  *fakeapi.Server
	hub                                  *feed.Hub
	canceled, succeeded, deleted, goesOn string
}

func newAbsence(t *testing.T) *absence {
	t.Helper()
	w := &absence{api: newAPI(t), hub: feed.New("shared")}
	a := newReplicaOf(t, w.api, w.hub)
	a.run(t, NewLeader(a.leaderOptions("a", 10, nil)))
	started := a.start(t, "nginx:1", "nginx:2", "nginx:3", "nginx:4")
	w.canceled, w.succeeded, w.deleted, w.goesOn = started[0].ID, started[1].ID, started[2].ID, started[3].ID
	pods := map[string]*corev1.Pod{}
	for i, state := range started {
		a.await(t, state.ID, phase(pull.Pending))
		pods[state.ID] = a.runPod(t, state.ID, corev1.PodRunning, *statetest.Running())
		report(t, w.api, pods[state.ID], int64(10+i), 100)
		a.await(t, state.ID, func(state *pull.State) bool { return state.Progress.Percent == 10+i })
	}
	a.stop()

	// Nobody sees what this one does, since its feed is another one.
	b := newReplicaOf(t, w.api, feed.New("apart"))
	b.hub.Publish(w.hub.Latest(w.canceled)) // what it cancels it knows
	b.hub.SetSynced()
	if _, err := b.pulls.Cancel(t.Context(), w.canceled); err != nil {
		t.Fatal(err)
	}
	job, err := b.pulls.get(t.Context(), w.canceled)
	if err == nil {
		err = deleteJob(t.Context(), b.pulls.jobs, job) // as the leader does when its name is no longer held
	}
	if err != nil {
		t.Fatal(err)
	}
	b.setPod(t, pods[w.succeeded], corev1.PodSucceeded, *statetest.Ended(0, statetest.Copied))
	b.finish(t, w.succeeded, batchv1.JobComplete, "")
	b.deletePod(t, pods[w.succeeded])
	b.deleteJob(t, w.succeeded)
	b.deleteJob(t, w.deleted)
	b.deletePod(t, pods[w.goesOn])
	return w
}

func (r *replica) deleteJob(t *testing.T, id string) {
	t.Helper()
	if err := r.client.BatchV1().Jobs(testNamespace).Delete(t.Context(), id, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}

func (r *replica) deletePod(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	if err := r.client.CoreV1().Pods(testNamespace).Delete(t.Context(), pod.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}

// end lets a replica watch whose feed is hub, and returns the final states that it publishes until it has synced.
func (w *absence) end(t *testing.T, hub *feed.Hub) (*replica, map[string]*pull.State) {
	t.Helper()
	published := finals(t, hub)
	r := newReplicaOf(t, w.api, hub)
	r.run(t, nil)
	r.watch.Demand()
	if err := r.watch.AwaitSync(t.Context()); err != nil {
		t.Fatal(err)
	}
	last := map[string]*pull.State{}
	for id, states := range published() {
		if last[id] = states[0]; len(states) > 1 {
			t.Errorf("%s ended %d times", id, len(states))
		}
	}
	return r, last
}

func TestPullsThatEndedWhileNobodyWatchedEndForSubscribers(t *testing.T) {
	w := newAbsence(t)
	r, last := w.end(t, w.hub)
	if got := last[w.canceled]; got == nil || got.Phase != pull.Canceled || got.Progress.Percent != 10 || got.Attempts != 1 {
		t.Errorf("canceled: %+v", got)
	}
	if got := last[w.succeeded]; got == nil || got.Phase != pull.Succeeded || got.Destination.Digest == nil || *got.Destination.Digest != statetest.Copied.Digest {
		t.Errorf("succeeded: %+v", got)
	}
	if got := last[w.deleted]; got == nil || got.Failure == nil || got.Failure.Reason != pull.Lost {
		t.Errorf("deleted: %+v", got)
	}
	if got := w.hub.Latest(w.goesOn); got.Phase != pull.Retrying && got.Phase != pull.Pending {
		t.Errorf("the pod is gone, but %+v", got)
	}
	if pulls := w.hub.Pulls(); len(pulls) != 2 { // with the one that ends finals
		t.Errorf("%d pulls are not retired", len(pulls))
	}
	r.tracker.mu.Lock()
	defer r.tracker.mu.Unlock()
	if tr := r.tracker.pulls[w.goesOn]; len(r.tracker.pulls) != 1 || len(tr.pods) != 0 || len(r.tracker.gonePods) != 0 {
		t.Errorf("what has gone is still there: %+v", r.tracker.pulls)
	}
}

// Another replica may have shown such a pull to its own clients, which then come here.
func TestAPullThatBeganAndEndedWhileNobodyWatchedEndsForSubscribers(t *testing.T) {
	api, hub := newAPI(t), feed.New("shared")
	a := newReplicaOf(t, api, hub)
	a.run(t, NewLeader(a.leaderOptions("a", 1, nil)))
	a.await(t, a.start(t, "nginx:1")[0].ID, phase(pull.Pending))
	a.stop()
	apart := newReplicaOf(t, api, feed.New("apart"))
	apart.hub.SetSynced()
	id := apart.start(t, "nginx:2")[0].ID
	if _, err := apart.pulls.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	apart.deleteJob(t, id) // as the leader does once the name is free
	next := newReplicaOf(t, api, hub)
	next.run(t, nil)
	next.watch.Demand()
	next.await(t, id, phase(pull.Canceled))
}

func TestPullsThatEndedInAForgottenPastAreLost(t *testing.T) {
	w := newAbsence(t)
	never, future := feed.New("never"), feed.New("future")
	future.SetResourceVersions(1<<40, 1<<40)
	for name, hub := range map[string]*feed.Hub{"no resourceVersions": never, "resourceVersions of another cluster": future} {
		for _, id := range []string{w.canceled, w.succeeded, w.deleted, w.goesOn} {
			hub.Publish(w.hub.Latest(id))
		}
		r, last := w.end(t, hub)
		for _, id := range []string{w.canceled, w.succeeded, w.deleted} {
			if got := last[id]; got == nil || got.Failure == nil || got.Failure.Reason != pull.Lost {
				t.Errorf("%s: %s: %+v", name, id, got)
			}
		}
		if got := hub.Latest(w.goesOn); got.Phase != pull.Pending && got.Phase != pull.Retrying {
			t.Errorf("%s: the pod is gone, but %+v", name, got)
		}
		r.stop()
	}
}

// All replicas were restarted while Redis was away, so the leader learns from the shared log of pulls that it has never seen.
func TestPullsThatTheSharedLogBringsLaterEndForSubscribers(t *testing.T) {
	w := newAbsence(t)
	jobs, pods := w.hub.ResourceVersions()
	contents := feed.Contents{Log: "log", Offset: 4, ResourceVersions: feed.ResourceVersions{Jobs: jobs, Pods: pods}}
	for i, id := range []string{w.canceled, w.succeeded, w.deleted, w.goesOn} {
		contents.Pulls = append(contents.Pulls, feed.Pull{State: w.hub.Latest(id), Offset: uint64(i + 1)})
	}
	hub := feed.New("restarted")
	r := newReplicaOf(t, w.api, hub)
	r.run(t, NewLeader(r.leaderOptions("restarted", 1, nil)))
	r.await(t, w.goesOn, func(*pull.State) bool { return true })
	queued := r.start(t, "nginx:5")[0]
	told := finals(t, hub)
	hub.Load(contents)
	for id, want := range map[string]pull.Phase{w.canceled: pull.Canceled, w.succeeded: pull.Succeeded, w.deleted: pull.Failed} {
		r.await(t, id, phase(want))
	}
	for id, states := range told() {
		if len(states) > 1 {
			t.Errorf("%s ended %d times", id, len(states))
		}
	}
	if got := hub.Latest(queued.ID); got.Phase != pull.Queued {
		t.Errorf("one pull runs, which is all that may, and another one is %s", got.Phase)
	}
}

// Another replica has shown its own clients a pull that began and ended while Redis was away. The leader, which was restarted
// meanwhile, has never heard of it, and neither has the shared log.
func TestAPullThatTheSharedLogNeverHeldEndsForSubscribersOfALeaderThatWasRestarted(t *testing.T) {
	api, before := newAPI(t), feed.New("before")
	a := newReplicaOf(t, api, before)
	a.run(t, NewLeader(a.leaderOptions("a", 1, nil)))
	known := a.start(t, "nginx:1")[0].ID
	a.await(t, known, phase(pull.Pending))
	jobs, pods := before.ResourceVersions()
	contents := feed.Contents{
		Log: "log", Offset: 1, ResourceVersions: feed.ResourceVersions{Jobs: jobs, Pods: pods},
		Pulls: []feed.Pull{{State: before.Latest(known), Offset: 1}},
	}
	a.stop()
	apart := newReplicaOf(t, api, feed.New("apart"))
	apart.hub.SetSynced()
	id := apart.start(t, "nginx:2")[0].ID
	if _, err := apart.pulls.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	apart.deleteJob(t, id) // as the leader does once the name is free

	hub := feed.New("restarted")
	r := newReplicaOf(t, api, hub)
	r.run(t, NewLeader(r.leaderOptions("restarted", 1, nil)))
	r.await(t, known, phase(pull.Pending))
	hub.Load(contents)
	r.await(t, id, phase(pull.Canceled))
	if hub.Gap() {
		t.Error("the watch that found it is not believed")
	}
}

// slowFeed is a feed that still knows a pull's state of before after a newer one was published.
type slowFeed struct {
	statesFeed
	known *pull.State
}

func (f *slowFeed) Pulls() []*pull.State      { return []*pull.State{f.known} }
func (f *slowFeed) Latest(string) *pull.State { return f.known }

func TestAPullThatEndedInTheReplayIsNotLost(t *testing.T) {
	w := statetest.New()
	f := &slowFeed{known: w.State(t)}
	tracker := NewTracker(f, quiet)
	tracker.begin()
	tracker.observeJob(w.Job)
	w.Condition(batchv1.JobComplete, "", "").Job.ResourceVersion = "200"
	tracker.observeDeleted(w.Job)
	tracker.reach(300, 300)
	tracker.finishSync()
	if got := f.last(); got.Phase != pull.Succeeded {
		t.Errorf("%+v", got)
	}
}

func TestADelayedEndIsNotSkippedByTheNextLeader(t *testing.T) {
	hub := feed.New("a")
	tracker := NewTracker(hub, quiet)
	now := statetest.Epoch
	tracker.now = func() time.Time { return now }
	tracker.begin()
	tracker.reach(100, 100)
	if jobs, _ := hub.ResourceVersions(); jobs != 0 {
		t.Error("resourceVersions were set before everything was published")
	}
	tracker.finishSync()
	w := statetest.New().Pod(1, corev1.PodRunning, statetest.Running())
	tracker.observeJob(w.Job)
	w.Condition(batchv1.JobComplete, "", "").Job.ResourceVersion = "150"
	tracker.observeJob(w.Job)
	tracker.reach(150, 0)
	if jobs, pods := hub.ResourceVersions(); jobs != 149 || pods != 100 {
		t.Errorf("resourceVersions %d and %d while the state at 150 is delayed", jobs, pods)
	}
	now = now.Add(finalDelay)
	tracker.publishDelayed()
	if jobs, pods := hub.ResourceVersions(); jobs != 150 || pods != 100 {
		t.Errorf("resourceVersions %d and %d", jobs, pods)
	}
	if got := hub.Latest(w.Job.Name); got.Phase != pull.Succeeded {
		t.Errorf("%+v", got)
	}
}

// syncedAt100 returns a Tracker that has synced at resourceVersion 100 in a cluster without pulls, with its Hub and clock.
func syncedAt100() (*feed.Hub, *Tracker, *time.Time) {
	hub, now := feed.New("a"), statetest.Epoch
	tracker := NewTracker(hub, quiet)
	tracker.now = func() time.Time { return now }
	tracker.begin()
	tracker.reach(100, 100)
	tracker.finishSync()
	return hub, tracker, &now
}

// Clients that reconnect from another replica wait for the feed's resourceVersions.
func TestReconnectingClientsDoNotWaitWhileManyPullsEnd(t *testing.T) {
	hub, tracker, now := syncedAt100()
	end := func(name string, version string) {
		w := statetest.New().Pod(1, corev1.PodRunning, statetest.Running())
		w.Job.Name = name
		tracker.observeJob(w.Job)
		w.Condition(batchv1.JobComplete, "", "").Job.ResourceVersion = version
		tracker.observeJob(w.Job)
	}
	end("first", "150")
	*now = now.Add(finalDelay / 2)
	tracker.reach(160, 170)
	end("second", "180")
	tracker.reach(190, 190)
	if jobs, pods := hub.ResourceVersions(); jobs != 149 || pods != 100 {
		t.Errorf("resourceVersions %d and %d while both are delayed", jobs, pods)
	}
	*now = now.Add(finalDelay / 2)
	tracker.publishDelayed()
	if jobs, pods := hub.ResourceVersions(); jobs != 179 || pods != 170 {
		t.Errorf("resourceVersions %d and %d while the second one is delayed", jobs, pods)
	}
}

// The watch of the Jobs may have to list them anew, while that of the pods goes on. A replica that has published the pull before
// would take it for lost.
func TestAPullOfWhichOnlyADelayedEndIsKnownIsNotLost(t *testing.T) {
	hub, tracker, now := syncedAt100()
	tracker.reach(0, 160)
	w := statetest.New().Condition(batchv1.JobComplete, "", "")
	w.Job.ResourceVersion = "150"
	list := &batchv1.JobList{Items: []batchv1.Job{*w.Job}}
	list.ResourceVersion = "155"
	if err := tracker.replaceJobs(list); err != nil {
		t.Fatal(err)
	}
	tracker.reach(155, 0)
	if jobs, _ := hub.ResourceVersions(); jobs != 100 {
		t.Errorf("resourceVersion %d, and nothing was published of a pull whose Job may be older", jobs)
	}
	*now = now.Add(finalDelay)
	tracker.publishDelayed()
	if jobs, _ := hub.ResourceVersions(); jobs != 155 || hub.Latest(w.Job.Name).Phase != pull.Succeeded {
		t.Errorf("resourceVersion %d, and it is %+v", jobs, hub.Latest(w.Job.Name))
	}
}

// A client may ask for a pull that ended just before this replica started.
func TestAPullWhoseEndIsDelayedIsNotTakenForUnknown(t *testing.T) {
	hub := feed.New("a")
	tracker := NewTracker(hub, quiet)
	now := statetest.Epoch
	tracker.now = func() time.Time { return now }
	tracker.begin()
	w := statetest.New().Condition(batchv1.JobComplete, "", "")
	tracker.observeJob(w.Job)
	tracker.reach(150, 150)
	tracker.finishSync()
	select {
	case <-hub.Synced():
		t.Error("all pulls are said to be known")
	default:
	}
	now = now.Add(finalDelay)
	tracker.publishDelayed()
	select {
	case <-hub.Synced():
	default:
		t.Error("not all pulls are said to be known, although no state is delayed")
	}
	if hub.Latest(w.Job.Name) == nil {
		t.Error("it is not known")
	}
}

// A pull that another replica has started is not gone because a list is older.
func TestAPullNewerThanTheListIsNotLost(t *testing.T) {
	hub := feed.New("a")
	for i, id := range []string{"old", "new"} {
		hub.Publish(&pull.State{ID: id, CreatedAt: statetest.Epoch, Phase: pull.Queued, Revision: pull.Revision{Cluster: uint64(100 + 100*i)}})
	}
	tracker := NewTracker(hub, quiet)
	tracker.begin()
	tracker.reach(150, 150)
	tracker.finishSync()
	if hub.Latest("old").Phase != pull.Failed || hub.Latest("new").Phase != pull.Queued {
		t.Errorf("%+v, %+v", hub.Latest("old"), hub.Latest("new"))
	}
	tracker.reach(0, 300)
	if hub.Latest("new").Phase != pull.Queued {
		t.Error("lost before the Jobs' watch had come to it")
	}
	tracker.reach(200, 0)
	if hub.Latest("new").Phase != pull.Failed {
		t.Error("the Jobs' watch has passed it without a word, and it is not lost")
	}
}
