package kube

import (
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"pullwatch/internal/broadcast"
	"pullwatch/internal/pull"
	"pullwatch/kube/pullstate"
)

// Feed takes the states that a Tracker publishes, and knows those that were published before, by this replica or another one.
// The Tracker calls it in the order of changes and with its lock held: it must neither block nor call back.
type Feed interface {
	// Publish takes a pull's new state. What does not supersede the known state is dropped.
	Publish(*pull.State)
	// Retire takes the id of a pull whose Job is gone. No state of it follows.
	Retire(id string)
	// Latest returns the known state of a pull, nil when there is none or it is forgotten.
	Latest(id string) *pull.State
	// Pulls returns the known states of all pulls that are not retired.
	Pulls() []*pull.State
	// SetResourceVersions says that every change up to these resourceVersions, of Jobs and of pods, has been published.
	SetResourceVersions(jobs, pods uint64)
	// BeginWatch says that a watch has begun, and that it will publish every change after these resourceVersions, of Jobs and of
	// pods; 0 and 0 when what happened before it can't be learned any more.
	BeginWatch(jobs, pods uint64)
	// ResourceVersions returns those up to which every change is known: a new watch begins there. They are 0 and 0 when nothing is
	// known.
	ResourceVersions() (jobs, pods uint64)
	// Missed returns a channel, always the same, that gets a value when the watch turns out to have begun too late: after changes
	// that are not known. A new one must begin.
	Missed() <-chan struct{}
	// SetSynced says that every pull that exists has been published.
	SetSynced()
}

// Tracker holds the state of every pull in the cluster while its Watch runs, and nothing otherwise. Methods that end in Locked
// need mu.
type Tracker struct {
	logger *slog.Logger
	feed   Feed
	now    func() time.Time
	// podsStale reports whether changes of pods may be missing, because their watch is broken or has just been opened again.
	// It is nil without a watch.
	podsStale func() bool

	mu sync.Mutex
	contents
	// watching is true while a Watch fills the Tracker.
	watching bool
	// warnings are the latest ones about Jobs and pods, also about those that are no pulls'. It is nil while nobody reads events.
	warnings *recent[types.UID, *pullstate.Warning]

	changed broadcast.Signal
}

// contents is all that a Tracker forgets when its Watch ends.
type contents struct {
	pulls map[string]*tracked // by Job name
	// Pulls by what is to be done with them, so that no loop searches through all pulls at each change. queued lacks those that
	// are held.
	active, queued, failed, givenUp, succeeded, canceled, unrecorded set
	// slots are the pulls that count among those that run, or did until a moment that has passed; see pullstate.HoldsSlot.
	slots set
	// delayed are the pulls whose final state waits to be complete. behind are those whose state is not final and may be older
	// than the feed's. It is published when the watches have come further.
	delayed, behind set
	// unsettled are the pulls whose image is copied although their Job goes on.
	unsettled set
	// unread are the pods whose logs CopierLogs is to read.
	unread map[types.UID]*corev1.Pod
	// ignored are Jobs that are gone (false), of which events may still be on their way, and Jobs that are no pulls (true).
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

// tracked is all that is known of one pull. Its pods may be known before its Job, and may outlive it. Without the Job, job and state
// are nil.
type tracked struct {
	name     string
	identity pullstate.Identity
	job      *batchv1.Job
	pods     map[types.UID]*corev1.Pod
	logs     map[types.UID]pullstate.Log
	state    *pull.State
	// notice is the message of the Notice on the Job.
	notice string
	// cause is why the pull failed if that is not its own fault, nil otherwise.
	cause *pullstate.Cause
	// notBefore is pullstate.NotBefore of the Job of a queued pull.
	notBefore time.Time
	// hindered is true if a Hindrance stands on the Job, and the pull was not given up for that.
	hindered bool
	// podsGone is the highest resourceVersion at which a pod of the pull was gone.
	podsGone uint64
	// delayedUntil is when the pull's final state is published even if it is not complete; see delay.go. delayLimit is the
	// latest that delayedUntil may become.
	delayedUntil, delayLimit time.Time
	// delayedJob is the resourceVersion with which the Job had ended, delayedPods that which the pods' watch had reached by
	// then.
	delayedJob, delayedPods uint64
}

func (tr *tracked) view() *pullstate.View {
	return pullstate.Read(tr.identity, tr.job, slices.Collect(maps.Values(tr.pods)), tr.logs)
}

// holdsSlot is pullstate.HoldsSlot.
func (tr *tracked) holdsSlot() (held bool, until time.Time) {
	return pullstate.HoldsSlot(tr.job, maps.Values(tr.pods))
}

// stateIn returns the pull's state in its view.
func (tr *tracked) stateIn(view *pullstate.View) *pull.State {
	state := view.State()
	if state.Phase != pull.Canceled {
		state.Revision.Pods = max(state.Revision.Pods, tr.podsGone)
	}
	return state
}

func newTracked(name string) *tracked {
	return &tracked{name: name, pods: map[types.UID]*corev1.Pod{}, logs: map[types.UID]pullstate.Log{}}
}

// successor returns what is known of the pull whose Job has taken the name of tr's. It moves that Job's pods out of tr: the pods'
// watch may have brought them before the Jobs' watch brought the Job.
func (tr *tracked) successor(job *batchv1.Job) *tracked {
	next := newTracked(tr.name)
	for uid, pod := range tr.pods {
		if metav1.IsControlledBy(pod, job) {
			next.pods[uid] = pod
			delete(tr.pods, uid)
		}
	}
	return next
}

// maxIgnored is more than the Jobs that are ever deleted while an event of one is still on its way.
const maxIgnored = 4096

// NewTracker returns an empty Tracker that publishes to feed.
func NewTracker(feed Feed, logger *slog.Logger) *Tracker {
	return &Tracker{logger: logger, feed: feed, now: time.Now, contents: newContents()}
}

func newContents() contents {
	return contents{
		pulls:  map[string]*tracked{},
		active: set{}, queued: set{}, failed: set{}, givenUp: set{}, succeeded: set{}, canceled: set{}, unrecorded: set{}, slots: set{}, delayed: set{}, behind: set{},
		unsettled: set{},
		unread:    map[types.UID]*corev1.Pod{},
		ignored:   newRecent[types.UID, bool](maxIgnored),
		syncState: syncState{gonePods: map[types.UID]*corev1.Pod{}, unconfirmed: map[string]uint64{}, removed: map[string]bool{}},
	}
}

// begin comes before the first list of a Watch.
func (t *Tracker) begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.watching = true
}

// reset forgets everything. It does not publish delayed states: they are newer than the resourceVersions that the feed was given,
// so the next Watch, on any replica, finds them again.
func (t *Tracker) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.watching = false
	t.contents = newContents()
	t.changed.Notify()
}

// updateLocked recomputes a pull's state, and all that depends on it, from its objects. A pull without a Job has none.
func (t *Tracker) updateLocked(tr *tracked) {
	held, _ := tr.holdsSlot()
	t.slots.put(tr.name, tr, held)
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
	t.unrecorded.put(tr.job.Name, tr, t.unwrittenLocked(view) != nil)
	_, _, unsettled := view.Unsettled()
	t.unsettled.put(tr.job.Name, tr, unsettled)
	state := tr.stateIn(view)
	if !t.delayLocked(tr, state, view) {
		t.setStateLocked(tr, state)
	}
}

// setStateLocked replaces a pull's state and publishes it. A state that does not supersede the current one is dropped: it is
// made from lines of a log that were read before.
func (t *Tracker) setStateLocked(tr *tracked, state *pull.State) {
	if last := tr.state; last == nil || state.Supersedes(last) {
		tr.state = state
		if last == nil || !last.Same(state) {
			t.publishLocked(tr)
		}
	}
	t.indexLocked(tr)
}

// publishLocked publishes a pull's state. A state that is not final and may be older than the feed's waits in behind.
func (t *Tracker) publishLocked(tr *tracked) {
	known := t.feed.Latest(tr.job.Name)
	if known != nil && (known.Phase.Final() || !known.CreatedAt.Equal(tr.state.CreatedAt)) {
		known = nil
	}
	behind := false
	switch pods, seen := tr.state.Revision.Pods, t.podsSeenLocked(tr); {
	case tr.state.Phase.Final():
	case !t.synced:
		behind = true
	case known == nil:
	case known.Revision.Pods > max(pods, seen):
		behind = true
	case known.Revision.Pods > pods || (known.Revision == tr.state.Revision && !known.Same(tr.state)):
		// The feed's state was made from a pod that has gone while nobody watched. All replicas that find this take the same
		// revision, so that their later states differ by Step only, which says how far the copier's log was read.
		state := *tr.state
		state.Revision.Pods = max(pods, min(seen, known.Revision.Pods+1))
		tr.state, tr.podsGone = &state, state.Revision.Pods
	}
	t.behind.put(tr.job.Name, tr, behind)
	if !behind && !(known != nil && logBehind(tr.state, known)) {
		t.feed.Publish(tr.state)
	}
}

// logBehind reports whether the known state was made from lines of the copier's log that were not read here yet, as after a
// change of the leader. To publish the older state would let the progress of an attempt fall.
func logBehind(state, known *pull.State) bool {
	return state.Phase == pull.Pulling && known.Phase == pull.Pulling && state.Attempts == known.Attempts &&
		state.Revision.Step < known.Revision.Step
}

// indexLocked puts a pull into the sets of its phase.
func (t *Tracker) indexLocked(tr *tracked) {
	name, phase := tr.job.Name, tr.state.Phase
	tr.notice, tr.cause = pullstate.ReadNotice(tr.job).Message, nil
	if phase == pull.Failed {
		tr.cause = pullstate.SharedCause(tr.identity, tr.job)
	}
	hindrance := pullstate.ReadHindrance(tr.job)
	tr.hindered = hindrance != nil && hindrance.GivenUp.IsZero()
	tr.notBefore = time.Time{}
	if phase == pull.Queued {
		tr.notBefore = pullstate.NotBefore(tr.job)
	}
	t.active.put(name, tr, !phase.Final())
	t.queued.put(name, tr, phase == pull.Queued && !tr.state.Held)
	t.failed.put(name, tr, phase == pull.Failed)
	_, givenUp := pullstate.GivenUp(tr.job)
	t.givenUp.put(name, tr, phase == pull.Failed && givenUp)
	t.succeeded.put(name, tr, phase == pull.Succeeded)
	t.canceled.put(name, tr, phase == pull.Canceled)
}
