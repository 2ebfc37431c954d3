package kube

import (
	"slices"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"pullwatch/internal/pull"
	"pullwatch/kube/pullstate"
	"pullwatch/kube/pullstate/statetest"
)

// statesFeed is a feed that keeps the published states and knows none.
type statesFeed struct{ states []*pull.State }

func (f *statesFeed) Publish(state *pull.State)          { f.states = append(f.states, state) }
func (f *statesFeed) Retire(string)                      {}
func (f *statesFeed) Latest(string) *pull.State          { return nil }
func (f *statesFeed) Pulls() []*pull.State               { return nil }
func (f *statesFeed) SetResourceVersions(uint64, uint64) {}
func (f *statesFeed) BeginWatch(uint64, uint64)          {}
func (f *statesFeed) ResourceVersions() (_, _ uint64)    { return 0, 0 }
func (f *statesFeed) Missed() <-chan struct{}            { return nil }
func (f *statesFeed) SetSynced()                         {}

func (f *statesFeed) last() *pull.State { return f.states[len(f.states)-1] }

func newTestTracker() (*Tracker, *statesFeed) {
	f := &statesFeed{}
	tracker := NewTracker(f, quiet)
	tracker.begin()
	tracker.finishSync()
	return tracker, f
}

func TestAPullThatSucceededIsNotLostWhenItsJobGoesAtOnce(t *testing.T) {
	tracker, f := newTestTracker()
	w := statetest.New().Condition(batchv1.JobComplete, "", "")
	tracker.observeJob(w.Job)
	tracker.observeDeleted(w.Job)
	if len(f.states) != 1 || f.last().Phase != pull.Succeeded {
		t.Errorf("seen for the first time when it had ended: %+v", f.states)
	}

	tracker, f = newTestTracker()
	w = statetest.New().Pod(1, corev1.PodRunning, statetest.Running())
	tracker.observeJob(w.Job)
	tracker.observePod(w.Pods[0])
	w.Condition(batchv1.JobComplete, "", "").Job.ResourceVersion = "300"
	tracker.observeJob(w.Job)
	if f.last().Phase != pull.Pulling {
		t.Fatalf("published before its pod has ended: %+v", f.last())
	}
	tracker.observeDeleted(w.Job)
	if f.last().Phase != pull.Succeeded {
		t.Errorf("%+v", f.last())
	}
}

func TestProgressDoesNotFallWhenALogIsOpenedAgain(t *testing.T) {
	tracker, f := newTestTracker()
	w := statetest.New().Pod(1, corev1.PodRunning, statetest.Running())
	tracker.observeJob(w.Job)
	tracker.observePod(w.Pods[0])
	for _, n := range []int64{60, 40, 41, 70} {
		tracker.observeLog(w.Pods[0], pullstate.Log{Tail: []string{"x"}, Last: pull.Report{
			Time: statetest.Epoch.Add(time.Duration(n) * time.Second), Message: "m", BytesDone: n, BytesTotal: new(int64(100)),
		}})
		if got := f.last().Progress.Percent; got < 60 {
			t.Errorf("%d%% after 60%%", got)
		}
	}
}

// A new leader reads the copier's log again from an earlier line than the one before has published.
func TestProgressDoesNotFallWhenAnotherReplicaLeads(t *testing.T) {
	w := statetest.New().Pod(1, corev1.PodRunning, statetest.Running())
	f := newKeepingHub("a")
	say := func(tracker *Tracker, percent int64) {
		tracker.observeLog(w.Pods[0], pullstate.Log{Tail: []string{"x"}, Last: pull.Report{
			Time: statetest.Epoch.Add(time.Duration(percent) * time.Second), Message: "m", BytesDone: percent, BytesTotal: new(int64(100)),
		}})
	}
	for _, lines := range [][]int64{{10, 60}, {40, 60, 70}} {
		tracker := NewTracker(f, quiet)
		tracker.begin()
		tracker.observeJob(w.Job)
		tracker.observePod(w.Pods[0])
		tracker.reach(300, 300)
		tracker.finishSync()
		for _, percent := range lines {
			say(tracker, percent)
		}
		w.Job = w.Job.DeepCopy()
		w.Job.ResourceVersion = "101" // it changes while nobody leads
	}
	var published []int
	for _, state := range f.states[w.Job.Name] {
		if state.Phase == pull.Pulling {
			published = append(published, state.Progress.Percent)
		}
	}
	if !slices.IsSorted(published) || published[len(published)-1] != 70 {
		t.Errorf("published %v%%", published)
	}
}

func TestNoLineOfProgressIsLostWithinAMillisecondOrWhenAClockIsSetBack(t *testing.T) {
	tracker, f := newTestTracker()
	w := statetest.New().Pod(1, corev1.PodRunning, statetest.Running())
	tracker.observeJob(w.Job)
	tracker.observePod(w.Pods[0])
	var log pullstate.Log
	for _, report := range []pull.Report{{Time: statetest.Epoch, Message: "one"}, {Time: statetest.Epoch, Message: "two"}, {Time: statetest.Epoch.Add(-time.Second), Message: "set back"}} {
		before := f.last()
		log.Add([]byte(report.String()))
		tracker.observeLog(w.Pods[0], log)
		if now := f.last(); now.Message != report.Message || !now.Supersedes(before) {
			t.Errorf("%s was published as %q of %s, behind %s", report.Message, now.Message, now.Revision, before.Revision)
		}
	}
}

func TestRevisionsGrowWhenAPodGoesAndComes(t *testing.T) {
	tracker, f := newTestTracker()
	w := statetest.New().Pod(1, corev1.PodRunning, statetest.Running())
	tracker.observeJob(w.Job)
	tracker.observePod(w.Pods[0])
	tracker.observePodDeleted(w.Pods[0])
	tracker.observePod(w.Pods[0])
	for i, s := range f.states[1:] {
		if f.states[i].Revision.Compare(s.Revision) >= 0 {
			t.Errorf("%s does not stand before %s", f.states[i].Revision, s.Revision)
		}
	}
}

func TestAnErrorThatThePodGotOverIsNotWhyThePullFailed(t *testing.T) {
	tracker, f := newTestTracker()
	w := statetest.New().Pod(1, corev1.PodPending, statetest.Waiting("ErrImagePull", "dial tcp: i/o timeout"))
	tracker.observeJob(w.Job)
	tracker.observePod(w.Pods[0])
	record := func() {
		w.Record(*tracker.pulls[w.Job.Name].view().Unwritten())
		w.Job.ResourceVersion = w.Job.ResourceVersion + "0"
		tracker.observeJob(w.Job)
	}
	record()
	pod := w.Pods[0].DeepCopy()
	pod.Status.ContainerStatuses[0].State = *statetest.Running()
	tracker.observePod(pod)
	record()
	tracker.observePodDeleted(pod)
	w.Condition(batchv1.JobFailed, batchv1.JobReasonDeadlineExceeded, "").Job.ResourceVersion += "0"
	tracker.observeJob(w.Job)
	if got := f.last(); got.Failure == nil || got.Failure.Reason != pull.Timeout || got.Attempts != 1 {
		t.Errorf("after %d attempts: %+v", got.Attempts, got.Failure)
	}
}

// The pods' watch may be ahead of the Jobs' watch, which then has to list. So it never shows that the Job of before was deleted.
func TestAPullWhosePredecessorOfTheSameNameWentUnseenShowsThatItsCopierRuns(t *testing.T) {
	f := &statesFeed{}
	tracker := NewTracker(f, quiet)
	tracker.begin()
	before := statetest.New()
	before.Job.UID = "before"
	jobs := func(version string, job *batchv1.Job) {
		list := &batchv1.JobList{Items: []batchv1.Job{*job}}
		list.ResourceVersion = version
		if err := tracker.replaceJobs(list); err != nil {
			t.Fatal(err)
		}
	}
	jobs("100", before.Job)
	none := &corev1.PodList{}
	none.ResourceVersion = "100"
	tracker.replacePods(none)
	tracker.reach(100, 100)
	tracker.finishSync()

	after := statetest.New()
	after.Job.UID, after.Job.ResourceVersion = "after", "190"
	after.Pod(1, corev1.PodRunning, statetest.Running())
	tracker.observePod(after.Pods[0])
	tracker.reach(0, 200)
	jobs("210", after.Job)
	tracker.reach(210, 0)
	if got := f.last(); got.Phase != pull.Pulling || got.Attempts != 1 {
		t.Errorf("%s %q after %d attempts", got.Phase, got.Message, got.Attempts)
	}
	if len(tracker.unreadPods()) != 1 {
		t.Error("its copier's log is not read")
	}
}
