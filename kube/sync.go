package kube

import (
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"pullwatch/internal/pull"
	"pullwatch/kube/pullstate"
)

// present is how far a Tracker has come on its way from what was known before to what is true now.
type syncState struct {
	// jobs and pods are the resourceVersions up to which each watch has told everything.
	jobs, pods uint64
	// markedPods is what the feed was last told for the pods. It only grows.
	markedPods uint64
	// settled is true once the Tracker has been told of everything that exists.
	synced bool
	// replaying is true while the watches tell of the past.
	replaying bool
	// parted are the pods that are gone, with the resourceVersion of that, and count until the watch of the Jobs has come
	// as far.
	gonePods map[types.UID]*corev1.Pod
	// removed are the pulls that were told to be gone before settle: the feed may be slow to know it.
	removed map[string]bool
	// unseen are the pulls that the feed knows and the Tracker does not, with the resourceVersion at which each
	// existed.
	unconfirmed map[string]uint64
}

// misses reports whether a pull that had not ended, as far as the feed knows, is not in a list of all Jobs: how it
// ended can only be learned from the past.
func (t *Tracker) misses(list *batchv1.JobList) bool {
	listed := make(map[string]bool, len(list.Items))
	for i := range list.Items {
		listed[list.Items[i].Name] = true
	}
	at := pullstate.Version(list)
	for _, known := range t.feed.Pulls() {
		if !known.Phase.Final() && !listed[known.ID] && known.Revision.Cluster <= at {
			return true
		}
	}
	return false
}

// isGone reports whether a pod is gone that still counts.
func (t *Tracker) isGoneLocked(pod types.UID) bool { return t.gonePods[pod] != nil }

// replay says that what follows is the past, until settle.
func (t *Tracker) beginReplay() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.replaying = true
}

// reach takes the resourceVersions up to which the watches have told everything; 0 for no change.
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
	t.markLocked()
}

// podsSeen returns up to which resourceVersion a pull's pods are those that it has here.
func (t *Tracker) podsSeenLocked(tr *tracked) uint64 {
	seen := t.pods
	for uid := range tr.pods {
		if pod := t.gonePods[uid]; pod != nil {
			seen = min(seen, pullstate.Version(pod)-1)
		}
	}
	return seen
}

// publishBehindLocked tells the states that it was too early for, as far as it no longer is.
func (t *Tracker) publishBehindLocked() {
	for _, tr := range t.behind {
		t.publishLocked(tr)
	}
}

// mark tells the feed how far everything has been published. A state that is held or early has not been. Some are held most
// of the time while many pulls end, so what came before them is told. Since when there has been a Job of
// which nothing else was told is not known, so nothing is marked while its state is held.
func (t *Tracker) markLocked() {
	if !t.synced || len(t.behind) > 0 {
		return
	}
	jobs, pods := t.jobs, t.pods
	for name, tr := range t.delayed {
		if tr.state == nil && t.feed.Latest(name) == nil {
			return
		}
		jobs, pods = min(jobs, tr.delayedJob-1), min(pods, tr.delayedPods)
	}
	for _, pod := range t.gonePods {
		pods = min(pods, pullstate.Version(pod)-1)
	}
	t.markedPods = max(t.markedPods, pods)
	if t.markedPods != 0 {
		t.feed.Mark(jobs, t.markedPods)
	}
}

// settle says that the Tracker has been told of everything that exists.
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
	t.feed.Complete()
	t.markLocked()
	t.changed.Notify()
}

// retireUnconfirmedLocked tells of the pulls that existed before what the watch of the Jobs has told, and of which it told
// nothing.
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
			t.feed.Publish(pull.LostJob(last))
		}
		t.feed.Retire(id)
	}
}
