package kube

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"pullwatch/internal/pull"
	"pullwatch/kube/pullstate"
)

// syncState says how far a Tracker has come from what the feed knew to what is true now.
type syncState struct {
	// jobs and pods are the resourceVersions that the watches have reached.
	jobs, pods uint64
	// reportedPods is the pods' resourceVersion in the last call of Feed.SetResourceVersions. It only grows.
	reportedPods uint64
	// synced is true once the Tracker knows every object that exists.
	synced bool
	// reportedSynced is true once SetSynced was called.
	reportedSynced bool
	// replaying is true while the watches bring changes of the past.
	replaying bool
	// gonePods are pods that are gone. Each has the resourceVersion at which it was gone, and counts until the Jobs' watch has
	// reached that version.
	gonePods map[types.UID]*corev1.Pod
	// removed are the pulls whose Jobs were found gone before finishSync. The feed may be slow to retire them.
	removed map[string]bool
	// unconfirmed are the pulls that the feed knows and the Tracker does not, with a resourceVersion at which each existed.
	unconfirmed map[string]uint64
}

// isGoneLocked reports whether a pod is gone but still counts.
func (t *Tracker) isGoneLocked(pod types.UID) bool { return t.gonePods[pod] != nil }

// beginReplay says that the changes until finishSync are of the past.
func (t *Tracker) beginReplay() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.replaying = true
}

// reach takes the resourceVersions that the watches have reached, 0 for no change.
func (t *Tracker) reach(jobs, pods uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if jobs != 0 {
		t.jobs = jobs
	}
	if pods != 0 {
		t.pods = pods
	}
	if !t.replaying {
		for _, pod := range t.gonePods {
			if pullstate.Version(pod) <= t.jobs {
				t.forgetGoneLocked(pod)
			}
		}
	}
	t.retireUnconfirmedLocked()
	t.publishBehindLocked()
	t.reportLocked()
}

// podsSeenLocked returns the resourceVersion up to which a pull's pods are known.
func (t *Tracker) podsSeenLocked(tr *tracked) uint64 {
	seen := t.pods
	for uid := range tr.pods {
		if pod := t.gonePods[uid]; pod != nil {
			seen = min(seen, pullstate.Version(pod)-1)
		}
	}
	return seen
}

// publishBehindLocked publishes the states that are no longer older than the feed's.
func (t *Tracker) publishBehindLocked() {
	for _, tr := range t.behind {
		t.publishLocked(tr)
	}
}

// reportLocked tells the feed that it knows every pull, and the resourceVersions up to which everything has been published. While
// many pulls end, some state is delayed most of the time. So the versions are those before the delayed states. It reports nothing
// while the only state of a pull is delayed: the feed does not know that pull, and how old its Job is cannot be known.
func (t *Tracker) reportLocked() {
	if !t.synced {
		return
	}
	for name, tr := range t.delayed {
		if tr.state == nil && t.feed.Latest(name) == nil {
			return
		}
	}
	if !t.reportedSynced {
		t.reportedSynced = true
		t.feed.SetSynced()
	}
	if len(t.behind) > 0 {
		return
	}
	jobs, pods := t.jobs, t.pods
	for _, tr := range t.delayed {
		jobs, pods = min(jobs, tr.delayedJob-1), min(pods, tr.delayedPods)
	}
	for _, pod := range t.gonePods {
		pods = min(pods, pullstate.Version(pod)-1)
	}
	t.reportedPods = max(t.reportedPods, pods)
	if t.reportedPods != 0 {
		t.feed.SetResourceVersions(jobs, t.reportedPods)
	}
}

// finishSync says that the Tracker knows every object that exists.
func (t *Tracker) finishSync() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, known := range t.feed.Pulls() {
		if tr := t.pulls[known.ID]; (tr == nil || tr.job == nil) && !t.removed[known.ID] {
			t.unconfirmed[known.ID] = known.Revision.Cluster
		}
	}
	t.removed = nil
	t.replaying = false
	for _, pod := range t.gonePods {
		t.forgetGoneLocked(pod)
	}
	t.retireUnconfirmedLocked()
	t.synced = true
	t.publishBehindLocked()
	t.reportLocked()
	t.changed.Notify()
}

// retireUnconfirmedLocked publishes as lost, and retires, the pulls that the Jobs' watch has passed without finding them.
func (t *Tracker) retireUnconfirmedLocked() {
	for id, existed := range t.unconfirmed {
		if tr := t.pulls[id]; tr != nil && tr.job != nil {
			delete(t.unconfirmed, id)
			continue
		}
		if existed > t.jobs {
			continue
		}
		delete(t.unconfirmed, id)
		if last := t.feed.Latest(id); last != nil && !last.Phase.Final() {
			t.feed.Publish(pull.LostState(last))
		}
		t.feed.Retire(id)
	}
}
