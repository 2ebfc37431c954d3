package kube

import (
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"pullwatch/internal/broadcast"
	"pullwatch/internal/pull"
	"pullwatch/kube/pullstate"
)

// Feed takes what a Tracker finds out, and knows what was found out before, by this replica or another one. It is told
// of changes in their order, while the Tracker's lock is held: it must neither block nor call back.
type Feed interface {
	// Publish takes a pull's new state. What does not supersede the known state is dropped.
	Publish(*pull.Job)
	// Retire takes the id of a pull whose Job is gone. No state of it follows.
	Retire(id string)
	// Latest returns the known state of a pull, nil when there is none or it is forgotten.
	Latest(id string) *pull.Job
	// Pulls returns the known states of all pulls that are not retired.
	Pulls() []*pull.Job
	// Mark says that every change up to these resourceVersions, of the Jobs and of the pods, has been published.
	Mark(jobs, pods uint64)
	// Marked returns what Mark was last told by whichever replica; 0, 0 when nothing is known of that.
	Marked() (jobs, pods uint64)
	// Complete says that every pull that exists has been published.
	Complete()
}

// Tracker holds the state of every pull in the cluster while its Watch runs, and nothing otherwise.
type Tracker struct {
	log  *slog.Logger
	feed Feed
	now  func() time.Time
	// podsStale reports whether what has become of pods may not have been told yet, because their watch is broken or has
	// just been taken up again. It is nil without a watch.
	podsStale func() bool

	mu sync.Mutex
	contents
	// watching is true while a Watch fills the Tracker.
	watching bool

	changed broadcast.Signal
}

// contents is what a Tracker has learned since it was last empty.
type contents struct {
	pulls map[string]*tracked // by Job name
	// The parts of pulls that the loops look at, so that none of them searches through all pulls for each change.
	active, queued, failed, succeeded, canceled, unrecorded set
	// held are the pulls whose last state waits to be complete, early those whose state is not the last and is made from
	// less than may be known by now: it is told when the watches have come further.
	delayed, behind set
	// unread are the pods whose copier's log is to be read.
	unread map[types.UID]*corev1.Pod
	// ignored are the Jobs that were seen to go, of which events may still be on their way, and those that are no
	// pulls.
	ignored *recent[types.UID, bool]
	syncState
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
	id    pullstate.Identity
	job   *batchv1.Job
	pods  map[types.UID]*corev1.Pod
	logs  map[types.UID]pullstate.Log
	state *pull.Job
	// podsGone is the highest resourceVersion at which a pod of the pull was gone.
	podsGone uint64
	// delayedUntil is when the pull's last state is told even if it is not complete; see Tracker.hold.
	delayedUntil time.Time
	// delayedJob is the resourceVersion with which the Job had ended, delayedPods how far the pods had been told of by then.
	delayedJob, delayedPods uint64
	// delayLimit is how far that may be put off.
	delayLimit time.Time
}

func (tr *tracked) view() *pullstate.View {
	return pullstate.Read(tr.id, tr.job, slices.Collect(maps.Values(tr.pods)), tr.logs)
}

// stateIn returns the pull's state in its view.
func (tr *tracked) stateIn(view *pullstate.View) *pull.Job {
	state := view.State()
	if state.Phase != pull.Canceled {
		state.Revision.Pods = max(state.Revision.Pods, tr.podsGone)
	}
	return state
}

func newTracked() *tracked {
	return &tracked{pods: map[types.UID]*corev1.Pod{}, logs: map[types.UID]pullstate.Log{}}
}

// How many gone Jobs are remembered: more than are ever deleted while an event of one is still under way.
const rememberedJobs = 4096

// NewTracker returns an empty Tracker that tells feed what changes.
func NewTracker(feed Feed, log *slog.Logger) *Tracker {
	return &Tracker{log: log, feed: feed, now: time.Now, contents: newContents()}
}

func newContents() contents {
	return contents{
		pulls:  map[string]*tracked{},
		active: set{}, queued: set{}, failed: set{}, succeeded: set{}, canceled: set{}, unrecorded: set{}, delayed: set{}, behind: set{},
		unread:    map[types.UID]*corev1.Pod{},
		ignored:   newRecent[types.UID, bool](rememberedJobs),
		syncState: syncState{gonePods: map[types.UID]*corev1.Pod{}, unconfirmed: map[string]uint64{}, removed: map[string]bool{}},
	}
}

// begin is called before a Watch tells anything.
func (t *Tracker) begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.watching = true
}

// reset forgets everything. What is held is not told: it lies behind the last mark, so whoever watches next tells it.
func (t *Tracker) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.watching = false
	t.contents = newContents()
	t.changed.Notify()
}

// update recomputes a pull's state and everything that depends on it.
func (t *Tracker) updateLocked(tr *tracked) {
	if tr.job == nil {
		return
	}
	view := tr.view()
	for uid, pod := range tr.pods {
		if !t.isGoneLocked(uid) && view.NeedsLog(uid) {
			t.unread[uid] = pod
		} else {
			delete(t.unread, uid)
		}
	}
	t.unrecorded.put(tr.job.Name, tr, view.Unwritten() != nil)
	state := tr.stateIn(view)
	if !t.delayLocked(tr, state, view) {
		t.setStateLocked(tr, state)
	}
}

// take takes a pull's new state. One that is no later than the last is passed over: it is made from lines of a log that have
// been read before.
func (t *Tracker) setStateLocked(tr *tracked, state *pull.Job) {
	if last := tr.state; last == nil || state.Supersedes(last) {
		tr.state = state
		if last == nil || !last.Same(state) {
			t.publishLocked(tr)
		}
	}
	t.indexLocked(tr)
}

// publish tells a pull's state, unless it may be older than the one that the feed knows: then it is told when the watches have
// come further. A last state is told at once.
func (t *Tracker) publishLocked(tr *tracked) {
	known := t.feed.Latest(tr.job.Name)
	if known != nil && (known.Phase.Final() || !known.CreatedAt.Equal(tr.state.CreatedAt)) {
		known = nil
	}
	early := false
	switch pods, seen := tr.state.Revision.Pods, t.podsSeenLocked(tr); {
	case tr.state.Phase.Final():
	case !t.synced:
		early = true
	case known == nil:
	case known.Revision.Pods > max(pods, seen):
		early = true
	case known.Revision.Pods > pods || (known.Revision == tr.state.Revision && !known.Same(tr.state)):
		// That one was made from a pod that has gone while nobody watched. All replicas that find that take the same
		// revision, so that what they read of the copier's log afterwards is compared.
		state := *tr.state
		state.Revision.Pods = max(pods, min(seen, known.Revision.Pods+1))
		tr.state, tr.podsGone = &state, state.Revision.Pods
	}
	t.behind.put(tr.job.Name, tr, early)
	if !early && !(known != nil && logBehind(tr.state, known)) {
		t.feed.Publish(tr.state)
	}
}

// unread reports whether the known state was made from words of the copier that have not been read here yet, as after a change
// of the leader: progress does not fall within an attempt.
func logBehind(state, known *pull.Job) bool {
	return state.Phase == pull.Pulling && known.Phase == pull.Pulling && state.Attempts == known.Attempts &&
		state.Revision.Step < known.Revision.Step
}

// sort puts a pull where the loops look for it.
func (t *Tracker) indexLocked(tr *tracked) {
	name, phase := tr.job.Name, tr.state.Phase
	t.active.put(name, tr, !phase.Final())
	t.queued.put(name, tr, phase == pull.Queued)
	t.failed.put(name, tr, phase == pull.Failed)
	t.succeeded.put(name, tr, phase == pull.Succeeded)
	t.canceled.put(name, tr, phase == pull.Canceled)
}
