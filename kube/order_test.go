package kube

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pullwatch/internal/feed"
	"pullwatch/internal/pull"
	"pullwatch/kube/pullstate"
	"pullwatch/kube/pullstate/statetest"
)

// keepingHub is a Hub that keeps every state that it takes.
type keepingHub struct {
	*feed.Hub
	mu     sync.Mutex
	states map[string][]*pull.State
}

func newKeepingHub(replica string) *keepingHub {
	return &keepingHub{Hub: feed.New(replica), states: map[string][]*pull.State{}}
}

func (f *keepingHub) Publish(state *pull.State) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.Latest(state.ID)
	f.Hub.Publish(state)
	if now := f.Latest(state.ID); now != before {
		f.states[state.ID] = append(f.states[state.ID], now)
	}
}

// reversals returns the published phases of a pull without a failed attempt, if a later one came before an earlier one.
func (f *keepingHub) reversals(id string) []pull.Phase {
	order := []pull.Phase{pull.Queued, pull.Pending, pull.Pulling, pull.Succeeded}
	f.mu.Lock()
	defer f.mu.Unlock()
	var phases []pull.Phase
	for _, state := range f.states[id] {
		phases = append(phases, state.Phase)
	}
	if slices.IsSortedFunc(phases, func(a, b pull.Phase) int { return slices.Index(order, a) - slices.Index(order, b) }) {
		return nil
	}
	return phases
}

// To learn how one pull ended, a new leader replays the past of all pulls. It sees the pods of the present before the Jobs have
// come as far.
func TestARunningPullDoesNotGoBackIntoTheQueueWhenTheLeaderChanges(t *testing.T) {
	api := newAPI(t)
	a := newReplica(t, api, "a", 1)
	started := a.start(t, "nginx:1", "nginx:2", "nginx:3")
	first, second, deleted := started[0].ID, started[1].ID, started[2].ID
	a.await(t, first, phase(pull.Pending))
	list, err := a.client.BatchV1().Jobs(testNamespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	f := newKeepingHub("b")
	f.SetResourceVersions(pullstate.Version(list), pullstate.Version(list))
	a.finish(t, first, batchv1.JobComplete, "")
	a.await(t, second, phase(pull.Pending))
	pod := a.runPod(t, second, corev1.PodPending, *statetest.Waiting("ContainerCreating", ""))
	a.await(t, second, func(state *pull.State) bool { return state.Message == "Waits for its container to start." })
	a.stop()
	a.setPod(t, pod, corev1.PodRunning, *statetest.Running())
	a.deleteJob(t, deleted)

	for _, state := range a.hub.Pulls() {
		f.Publish(state)
	}
	b := newReplicaOf(t, api, f.Hub)
	b.tracker.feed = f
	b.watch.Demand()
	b.run(t, nil)
	if err := b.watch.AwaitSync(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.await(t, deleted, (*pull.State).Lost)
	if phases := f.reversals(second); phases != nil {
		t.Errorf("a pull that had left the queue was published as %v", phases)
	}
}

// event is one change of a pull's objects; gone is true for a deletion.
type event struct {
	job  *batchv1.Job
	pod  *corev1.Pod
	gone bool
}

// history is all changes of one pull's objects, in the order in which they were made. The n-th has resourceVersion n+1.
type history []event

// past is a pull whose objects change, with their history.
type past struct {
	*statetest.World
	history history
}

func newPast() *past {
	p := &past{World: statetest.New()}
	p.onJob(func(job *batchv1.Job) { job.Spec.Suspend = new(true) })
	return p
}

func (p *past) onJob(change func(*batchv1.Job)) {
	change(p.Job)
	p.Job.ResourceVersion = strconv.Itoa(len(p.history) + 1)
	p.history = append(p.history, event{job: p.Job.DeepCopy()})
}

// onPod changes the newest pod.
func (p *past) onPod(phase corev1.PodPhase, state *corev1.ContainerState) {
	pod := p.Pods[len(p.Pods)-1]
	pod.ResourceVersion, pod.Status.Phase = strconv.Itoa(len(p.history)+1), phase
	if state != nil {
		pod.Spec.NodeName = "node"
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: pull.ContainerName, State: *state}}
	}
	p.history = append(p.history, event{pod: pod.DeepCopy()})
}

// runs lets the pull leave the queue and its copier run.
func (p *past) runs() {
	p.onJob(func(job *batchv1.Job) { job.Spec.Suspend = new(false) })
	p.onJob(func(job *batchv1.Job) { job.Status.StartTime = new(statetest.At(1)) })
	p.attempt()
}

// attempt makes another pod whose copier runs.
func (p *past) attempt() {
	p.Pod(1+len(p.Pods), corev1.PodPending, nil)
	p.onPod(corev1.PodPending, nil)
	p.onJob(func(job *batchv1.Job) { job.Status.Active = 1 })
	p.onPod(corev1.PodPending, statetest.Waiting("ContainerCreating", ""))
	p.onPod(corev1.PodRunning, statetest.Running())
	p.onJob(func(job *batchv1.Job) { job.Status.Ready = new(int32(1)) })
}

func (p *past) recorded(r pullstate.Record) {
	r.Pod, r.Attempts = p.Pods[len(p.Pods)-1].UID, len(p.Pods)
	p.onJob(func(*batchv1.Job) { p.Record(r) })
}

func (p *past) ends(kind batchv1.JobConditionType, reason string) {
	p.onJob(func(job *batchv1.Job) {
		if kind == batchv1.JobFailed {
			job.Status.Failed = int32(len(p.Pods))
		}
		p.Condition(kind, reason, "what the controller says")
	})
}

func (p *past) jobGone() {
	p.onJob(func(*batchv1.Job) {})
	p.history[len(p.history)-1].gone = true
}

func (p *past) podGone() {
	p.onPod(p.Pods[len(p.Pods)-1].Status.Phase, nil)
	p.history[len(p.history)-1].gone = true
}

// onlooker is a replica that sees a history over two watches, each at its own pace.
type onlooker struct {
	tracker    *Tracker
	history    history
	jobs, pods int // how many changes of the history each watch has passed
}

// join lists the pods and then the Job, as they were after so many changes, and watches from there.
func (h history) join(f Feed, clock func() time.Time, pods, jobs int) *onlooker {
	o := &onlooker{tracker: NewTracker(f, quiet), history: h, jobs: jobs, pods: pods}
	o.tracker.now = clock
	o.tracker.begin()
	podList, jobList := &corev1.PodList{}, &batchv1.JobList{}
	podList.ResourceVersion, jobList.ResourceVersion = strconv.Itoa(pods), strconv.Itoa(jobs)
	present := map[string]*corev1.Pod{}
	for _, c := range h[:pods] {
		if c.pod != nil {
			present[c.pod.Name] = c.pod
			if c.gone {
				delete(present, c.pod.Name)
			}
		}
	}
	for _, pod := range present {
		podList.Items = append(podList.Items, *pod)
	}
	for i, c := range slices.Backward(h[:jobs]) {
		if c.job != nil {
			if !c.gone {
				jobList.Items = []batchv1.Job{*h[i].job}
			}
			break
		}
	}
	o.tracker.replacePods(podList)
	if err := o.tracker.replaceJobs(jobList); err != nil {
		panic(err)
	}
	o.tracker.reach(uint64(jobs), uint64(pods))
	o.tracker.finishSync()
	return o
}

// seePods lets the watch of the pods pass a change, and returns false when it has passed all.
func (o *onlooker) seePods() bool {
	if o.pods == len(o.history) {
		return false
	}
	c := o.history[o.pods]
	o.pods++
	if c.pod == nil {
		return true
	}
	if c.gone {
		o.tracker.observePodDeleted(c.pod)
	} else {
		o.tracker.observePod(c.pod)
	}
	o.tracker.reach(0, uint64(o.pods))
	return true
}

// seeJobs lets the watch of the Jobs pass a change, and returns false when it has passed all.
func (o *onlooker) seeJobs() bool {
	if o.jobs == len(o.history) {
		return false
	}
	c := o.history[o.jobs]
	o.jobs++
	if c.job == nil {
		return true
	}
	if c.gone {
		o.tracker.observeDeleted(c.job)
	} else {
		o.tracker.observeJob(c.job)
	}
	o.tracker.reach(uint64(o.jobs), 0)
	return true
}

// seeAll lets both watches pass everything that is left, in the order in which it happened. reads says whether the copiers' logs
// can be read meanwhile.
func (o *onlooker) seeAll(reads bool) {
	for o.jobs < len(o.history) || o.pods < len(o.history) {
		if o.pods <= o.jobs {
			o.seePods()
		} else {
			o.seeJobs()
		}
		if reads {
			o.readLogs()
		}
	}
}

// Two replicas publish to one feed what they see. Each of their watches is ahead of the others at some time, and each replica lists
// pods and Jobs at some moments.
func TestAPullNeverGoesBackWhenOneWatchIsAhead(t *testing.T) {
	for name, p := range pasts() {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(100) {
				f := p.history.publishToOne(rand.New(rand.NewPCG(seed, 0)))
				states := f.states[p.Job.Name]
				for i, state := range states {
					if last := i == len(states)-1; state.Phase.Final() != last {
						t.Fatalf("seed %d: state %d of %d is %s", seed, i+1, len(states), state.Phase)
					}
					if i == 0 || state.Phase.Final() {
						continue
					}
					if now, before := state.Revision, states[i-1].Revision; now.Cluster < before.Cluster || now.Pods < before.Pods {
						t.Fatalf("seed %d: %s %s after %s %s", seed, state.Phase, now, states[i-1].Phase, before)
					}
				}
				if phases := f.reversals(p.Job.Name); name == "succeeds" && phases != nil {
					t.Fatalf("seed %d: published as %v", seed, phases)
				}
			}
		})
	}
}

// publishToOne has two replicas publish the history to one feed, and returns the feed.
func (h history) publishToOne(random *rand.Rand) *keepingHub {
	f := newKeepingHub("a")
	var moves []func() bool
	join := func() {
		pods := random.IntN(len(h))
		o := h.join(f, statetest.Epoch.UTC, pods, pods+random.IntN(len(h)-pods))
		moves = append(moves, o.seePods, o.seeJobs)
	}
	join()
	for joined := false; len(moves) > 0; {
		if !joined && random.IntN(10) == 0 {
			join()
			joined = true
		}
		if i := random.IntN(len(moves)); !moves[i]() {
			moves = slices.Delete(moves, i, i+1)
		}
	}
	return f
}

// Somebody deleted the pod of an attempt before, which had changed last, while no replica watched. Then two of them watch, each
// for itself, and read the copier's log at their own pace, before one feed gets the states of both.
func TestProgressDoesNotFallWhenReplicasStoodInAfterAPodWasDeleted(t *testing.T) {
	w := statetest.New().Pod(1, corev1.PodFailed, statetest.Ended(1, statetest.Network)).Pod(2, corev1.PodRunning, statetest.Running())
	before, copies := w.Pods[0], w.Pods[1]
	w.Record(pullstate.Record{Pod: before.UID, Attempts: 1, Ran: true, Ended: true, Outcome: statetest.Network})
	before.ResourceVersion = "210"
	watch := func(f Feed, version uint64, pods ...*corev1.Pod) *Tracker {
		tracker := NewTracker(f, quiet)
		tracker.begin()
		for _, pod := range pods {
			tracker.observePod(pod)
		}
		tracker.observeJob(w.Job)
		tracker.reach(version, version)
		tracker.finishSync()
		return tracker
	}
	say := func(tracker *Tracker, percent int64) {
		tracker.observeLog(copies, pullstate.Log{Tail: []string{"x"}, Last: pull.Report{
			Time: statetest.Epoch.Add(time.Duration(percent) * time.Second), Message: "m", BytesDone: percent, BytesTotal: new(int64(100)),
		}})
	}
	shared := newKeepingHub("shared")
	say(watch(shared, 210, before, copies), 10)
	var hubs []*keepingHub
	for i, percent := range []int64{60, 40} {
		f := newKeepingHub(fmt.Sprint(i))
		f.Publish(shared.Latest(w.Job.Name))
		say(watch(f, uint64(220+10*i), copies), percent)
		if got := f.Latest(w.Job.Name).Progress.Percent; got != int(percent) {
			t.Fatalf("published %d%%, want %d%%", got, percent)
		}
		hubs = append(hubs, f)
	}
	for _, f := range hubs {
		shared.Publish(f.Latest(w.Job.Name))
	}
	if got := shared.Latest(w.Job.Name).Progress.Percent; got != 60 {
		t.Errorf("%d%% after 60%%", got)
	}
}
