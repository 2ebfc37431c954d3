package kube

import (
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"strconv"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"pullwatch/pull"
)

// Feed is told of every change, in order, while the Tracker's lock is held: it must neither block nor call back.
type Feed interface {
	// Publish takes a pull's new state.
	Publish(*pull.Job)
	// Retire takes the id of a pull whose Job is gone. No state of it follows.
	Retire(id string)
	// Latest returns the last state that was published of a pull, nil when there is none or it is forgotten. It may be
	// called at any time.
	Latest(id string) *pull.Job
}

// Tracker holds the state of every pull in the cluster, as far as the watches and pullwatch's own writes have told it.
type Tracker struct {
	log  *slog.Logger
	feed Feed
	now  func() time.Time

	mu    sync.Mutex
	pulls map[string]*tracked // by Job name
	// The parts of pulls that the loops look at, so that none of them searches through all pulls for each change.
	active, queued, failed, succeeded, canceled, unrecorded set
	// running holds the pull of each key that has not ended.
	running map[string]*tracked
	// held are the pulls whose last state waits to be complete.
	held set
	// unread are the pods whose copier's log is to be read.
	unread map[types.UID]*corev1.Pod
	// numbers holds the highest job number seen for each key, so that a number is not used again once its Job is gone.
	numbers *recent[string, int64]
	// ignored are the Jobs that were seen to go, of which events may still be on their way, and those that are no pulls.
	ignored *recent[types.UID, bool]

	changed signal
}

type set map[string]*tracked

// put makes t a member or not.
func (s set) put(name string, t *tracked, member bool) {
	if member {
		s[name] = t
	} else {
		delete(s, name)
	}
}

// tracked is all that is known of one pull. Its pods may be known before its Job is; until then job and state are nil.
type tracked struct {
	id    identity
	job   *batchv1.Job
	pods  map[types.UID]*corev1.Pod
	logs  map[types.UID]copierLog
	state *pull.Job
	// heldUntil is when the pull's last state is told even if it is not complete; see Tracker.hold.
	heldUntil time.Time
}

// How many gone Jobs are remembered: more than are ever deleted while an event of one is still under way.
const rememberedJobs = 4096

// NewTracker returns an empty Tracker that tells feed what changes.
func NewTracker(feed Feed, log *slog.Logger) *Tracker {
	return &Tracker{
		log: log, feed: feed, now: time.Now,
		pulls:  map[string]*tracked{},
		active: set{}, queued: set{}, failed: set{}, succeeded: set{}, canceled: set{}, unrecorded: set{},
		running: map[string]*tracked{}, held: set{},
		unread:  map[types.UID]*corev1.Pod{},
		numbers: newRecent[string, int64](rememberedJobs),
		ignored: newRecent[types.UID, bool](rememberedJobs),
	}
}

// Active returns the pulls that have not ended, in no order.
func (t *Tracker) Active() []*pull.Job { return t.states(t.active) }

// Failed returns the failed pulls whose Jobs exist, in no order.
func (t *Tracker) Failed() []*pull.Job { return t.states(t.failed) }

func (t *Tracker) states(s set) []*pull.Job {
	t.mu.Lock()
	defer t.mu.Unlock()
	jobs := make([]*pull.Job, 0, len(s))
	for _, tr := range s {
		jobs = append(jobs, tr.state)
	}
	return jobs
}

// observeJob takes a Job as the API server returned it, from a watch or from a write of our own. What is older than what
// is known already is passed over.
func (t *Tracker) observeJob(job *batchv1.Job) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.observe(job)
	t.changed.notify()
}

func (t *Tracker) observe(job *batchv1.Job) {
	if _, gone := t.ignored.get(job.UID); gone {
		return
	}
	tr := t.pulls[job.Name]
	switch {
	case tr == nil:
		tr = newTracked()
		t.pulls[job.Name] = tr
	case tr.job != nil && tr.job.UID == job.UID && version(job) < version(tr.job):
		return
	case tr.job != nil && tr.job.UID != job.UID:
		t.remove(tr.job) // its deletion was missed
		tr = newTracked()
		t.pulls[job.Name] = tr
	}
	if tr.job == nil {
		id, err := identify(job)
		if err != nil {
			t.log.Warn("a Job that is labelled as a pull is none", "job", job.Name, "error", err)
			t.ignored.put(job.UID, true)
			delete(t.pulls, job.Name)
			return
		}
		tr.id = id
	}
	job = job.DeepCopy()
	job.ManagedFields = nil
	job.Spec.Template = corev1.PodTemplateSpec{}
	tr.job = job
	key, n := job.Labels[labelKey], jobNumber(job.Name)
	if seen, _ := t.numbers.get(key); n > seen {
		t.numbers.put(key, n)
	}
	t.update(tr)
}

func newTracked() *tracked {
	return &tracked{pods: map[types.UID]*corev1.Pod{}, logs: map[types.UID]copierLog{}}
}

// observeDeleted takes the last that is known of a Job that is gone.
func (t *Tracker) observeDeleted(job *batchv1.Job) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.remove(job)
	t.changed.notify()
}

func (t *Tracker) remove(job *batchv1.Job) {
	tr := t.pulls[job.Name]
	t.ignored.put(job.UID, true)
	if tr == nil || tr.job == nil || tr.job.UID != job.UID {
		return
	}
	if version(job) > version(tr.job) {
		tr.job = job
	}
	tr.heldUntil = t.now() // nothing more will come that could complete its last state
	t.update(tr)
	if !tr.state.Phase.Final() {
		tr.state = lostState(tr.state, job, t.now())
		t.feed.Publish(tr.state)
	}
	for uid := range tr.pods {
		delete(t.unread, uid)
	}
	for _, s := range []set{t.active, t.queued, t.failed, t.succeeded, t.canceled, t.unrecorded, t.held} {
		delete(s, job.Name)
	}
	if key := job.Labels[labelKey]; t.running[key] == tr {
		delete(t.running, key)
	}
	delete(t.pulls, job.Name)
	t.feed.Retire(job.Name)
}

// replaceJobs takes a list of all Jobs: what is not among them is gone.
func (t *Tracker) replaceJobs(list *batchv1.JobList) error {
	at, err := strconv.ParseUint(list.ResourceVersion, 10, 64)
	if err != nil {
		return fmt.Errorf("resourceVersion of a list of Jobs: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	listed := make(map[types.UID]bool, len(list.Items))
	for i := range list.Items {
		listed[list.Items[i].UID] = true
		t.observe(&list.Items[i])
	}
	for _, tr := range t.pulls {
		// A Job that this replica has made since the list was taken is not gone.
		if tr.job != nil && !listed[tr.job.UID] && version(tr.job) <= at {
			t.remove(tr.job)
		}
	}
	t.changed.notify()
	return nil
}

// observePod takes a pod's new state.
func (t *Tracker) observePod(pod *corev1.Pod) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.placePod(pod)
	t.changed.notify()
}

func (t *Tracker) placePod(pod *corev1.Pod) {
	name := pod.Labels[jobNameLabel]
	if name == "" {
		return
	}
	tr := t.pulls[name]
	if tr == nil {
		tr = newTracked()
		t.pulls[name] = tr
	}
	trimmed := &corev1.Pod{ObjectMeta: pod.ObjectMeta, Status: pod.Status}
	trimmed.ManagedFields = nil
	trimmed.Spec.NodeName = pod.Spec.NodeName
	tr.pods[pod.UID] = trimmed
	t.update(tr)
}

// observePodDeleted takes the last state of a pod that is gone.
func (t *Tracker) observePodDeleted(pod *corev1.Pod) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.removePod(pod)
	t.changed.notify()
}

func (t *Tracker) removePod(pod *corev1.Pod) {
	name := pod.Labels[jobNameLabel]
	tr := t.pulls[name]
	if tr == nil || tr.pods[pod.UID] == nil {
		return
	}
	delete(tr.pods, pod.UID)
	delete(tr.logs, pod.UID)
	delete(t.unread, pod.UID)
	if tr.job == nil {
		if len(tr.pods) == 0 {
			delete(t.pulls, name)
		}
		return
	}
	t.update(tr)
}

// replacePods takes a list of all pods: what is not among them is gone.
func (t *Tracker) replacePods(list *corev1.PodList) {
	t.mu.Lock()
	defer t.mu.Unlock()
	listed := make(map[types.UID]bool, len(list.Items))
	for i := range list.Items {
		listed[list.Items[i].UID] = true
		t.placePod(&list.Items[i])
	}
	for _, tr := range t.pulls {
		for uid, pod := range tr.pods {
			if !listed[uid] {
				t.removePod(pod)
			}
		}
	}
	t.changed.notify()
}

// observeLog takes what has been read of a pod's copier log.
func (t *Tracker) observeLog(pod *corev1.Pod, log copierLog) {
	t.mu.Lock()
	defer t.mu.Unlock()
	tr := t.pulls[pod.Labels[jobNameLabel]]
	if tr == nil || tr.pods[pod.UID] == nil {
		return
	}
	known := tr.logs[pod.UID]
	if len(log.tail) == 0 {
		log.tail = known.tail // what was followed before is better than nothing
	}
	if log.last.Time.Before(known.last.Time) {
		log.last = known.last // a log that is opened again begins with lines that have been read
	}
	tr.logs[pod.UID] = log
	t.update(tr)
	t.changed.notify()
}

// update recomputes a pull's state and everything that depends on it.
func (t *Tracker) update(tr *tracked) {
	if tr.job == nil {
		return
	}
	name := tr.job.Name
	pods := make([]*corev1.Pod, 0, len(tr.pods))
	for _, pod := range tr.pods {
		pods = append(pods, pod)
	}
	state := stateOf(tr.id, tr.job, pods, tr.logs)
	for _, pod := range pods {
		if needsReading(tr, pod) {
			t.unread[pod.UID] = pod
		} else {
			delete(t.unread, pod.UID)
		}
	}
	if t.hold(tr, state, pods) {
		return
	}
	if tr.state == nil || !sameState(tr.state, state) {
		if tr.state != nil && state.Revision.Compare(tr.state.Revision) <= 0 {
			state.Revision = tr.state.Revision // the newest object is gone, a newer state it is all the same
			state.Revision.Step++
		}
		tr.state = state
		t.feed.Publish(state)
	}
	final := tr.state.Phase.Final()
	t.active.put(name, tr, !final)
	t.queued.put(name, tr, tr.state.Phase == pull.Queued)
	t.failed.put(name, tr, tr.state.Phase == pull.Failed)
	t.succeeded.put(name, tr, tr.state.Phase == pull.Succeeded)
	t.canceled.put(name, tr, tr.state.Phase == pull.Canceled)
	if key := tr.job.Labels[labelKey]; !final {
		t.running[key] = tr
	} else if t.running[key] == tr {
		delete(t.running, key)
	}
	t.unrecorded.put(name, tr, newRecord(tr) != nil)
}

// sameState reports whether two states differ in nothing that a client sees but their place in the order.
func sameState(a, b *pull.Job) bool {
	c := *b
	c.Revision, c.UpdatedAt = a.Revision, a.UpdatedAt
	return reflect.DeepEqual(a, &c)
}

// claim returns the pull of a key that has not ended, and when there is none the highest job number ever seen for the key.
// Both are of one moment: a Job that another replica makes is either joined or stands in the way of the next number.
func (t *Tracker) claim(key string) (running *pull.Job, highest int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if tr := t.running[key]; tr != nil && !finished(tr.job) {
		return tr.state, 0
	}
	highest, _ = t.numbers.get(key)
	return nil, highest
}

// state returns the state of a pull whose Job exists, nil when there is none.
func (t *Tracker) state(name string) *pull.Job {
	t.mu.Lock()
	defer t.mu.Unlock()
	if tr := t.pulls[name]; tr != nil {
		return tr.state
	}
	return nil
}

// logsOf returns what has been read of the copier logs of a pull.
func (t *Tracker) logsOf(name string) map[types.UID]copierLog {
	t.mu.Lock()
	defer t.mu.Unlock()
	if tr := t.pulls[name]; tr != nil {
		return maps.Clone(tr.logs)
	}
	return nil
}
