package kube

import (
	"fmt"
	"strconv"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"pullwatch/internal/pull"
	"pullwatch/kube/pullstate"
)

// observeJob takes a Job as the API server returned it, from a watch or from a write of our own. An older version than the
// known one is dropped.
func (t *Tracker) observeJob(job *batchv1.Job) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.setJobLocked(job)
	t.changed.Notify()
}

// setJobLocked does the work of observeJob.
func (t *Tracker) setJobLocked(job *batchv1.Job) {
	if _, gone := t.ignored.get(job.UID); gone {
		return
	}
	tr := t.pulls[job.Name]
	switch {
	case tr == nil:
		tr = newTracked(job.Name)
		t.pulls[job.Name] = tr
	case tr.job != nil && tr.job.UID == job.UID && pullstate.Version(job) < pullstate.Version(tr.job):
		return
	case tr.job != nil && tr.job.UID != job.UID:
		successor := tr.successor(job)
		t.removeJobLocked(tr.job) // its deletion was missed
		tr = successor
		t.pulls[job.Name] = tr
	}
	if tr.job == nil {
		identity, err := pullstate.Identify(job)
		if err != nil {
			t.logger.Warn("a Job that is labelled as a pull is none", "job", job.Name, "error", err)
			t.ignored.put(job.UID, true)
			tr.successor(job) // its pods are no pull's, either
			t.updateLocked(tr)
			if len(tr.pods) == 0 {
				delete(t.pulls, job.Name)
			}
			return
		}
		tr.identity = identity
	}
	job = job.DeepCopy()
	job.ManagedFields = nil
	job.Spec.Template = corev1.PodTemplateSpec{}
	tr.job = job
	t.updateLocked(tr)
}

// observeWritten takes a Job that this replica has just written, and returns the pull's state, nil when the Job is gone again.
// It returns false and does nothing when this replica does not watch.
func (t *Tracker) observeWritten(job *batchv1.Job) (*pull.State, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.watching {
		return nil, false
	}
	t.setJobLocked(job)
	t.changed.Notify()
	tr := t.pulls[job.Name]
	if tr == nil {
		return nil, true
	}
	if t.behind[job.Name] != nil {
		t.feed.Publish(tr.state) // a new Job has no pods that may be ahead of it
	}
	return tr.state, true
}

// observeDeleted takes the last version of a Job that is gone. It returns false and does nothing when this replica does not
// watch.
func (t *Tracker) observeDeleted(job *batchv1.Job) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.watching {
		return false
	}
	t.removeJobLocked(job)
	t.changed.Notify()
	return true
}

// removeJobLocked publishes a pull's final state and forgets the pull.
func (t *Tracker) removeJobLocked(job *batchv1.Job) {
	tr := t.pulls[job.Name]
	t.ignored.put(job.UID, false)
	if tr == nil || tr.job == nil || tr.job.UID != job.UID {
		return
	}
	t.publishEndLocked(tr, job)
	rest := newTracked(job.Name)
	for uid, pod := range tr.pods {
		if !t.isGoneLocked(uid) {
			rest.pods[uid] = pod
		}
		delete(t.unread, uid)
		delete(t.gonePods, uid)
	}
	for _, s := range []set{t.active, t.queued, t.failed, t.givenUp, t.succeeded, t.canceled, t.unrecorded, t.slots, t.delayed, t.behind, t.unsettled} {
		delete(s, job.Name)
	}
	delete(t.pulls, job.Name)
	if len(rest.pods) > 0 { // their copiers may run for some moments yet
		t.pulls[job.Name] = rest
		t.updateLocked(rest)
	}
	if !t.synced {
		t.removed[job.Name] = true
	}
	t.feed.Retire(job.Name)
}

// publishEndLocked publishes the final state of a pull whose Job is gone. Nothing more will come that could complete it.
func (t *Tracker) publishEndLocked(tr *tracked, job *batchv1.Job) {
	if tr.state != nil && tr.state.Phase.Final() {
		return
	}
	last := tr.state
	if pullstate.Version(job) > pullstate.Version(tr.job) {
		tr.job = job
	}
	state := tr.stateIn(tr.view())
	if !state.Phase.Final() {
		if last == nil {
			last = state
		}
		// The Job's last version says nothing of the copier. The feed may know more of it.
		if known := t.feed.Latest(job.Name); known != nil && !known.Phase.Final() && known.CreatedAt.Equal(last.CreatedAt) && known.Supersedes(last) {
			last = known
		}
		state = pull.LostState(last)
	}
	tr.state = state
	t.publishLocked(tr)
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
		t.setJobLocked(&list.Items[i])
	}
	for _, tr := range t.pulls {
		// A Job that this replica has made since the list was taken is not gone.
		if tr.job != nil && !listed[tr.job.UID] && pullstate.Version(tr.job) <= at {
			t.removeJobLocked(tr.job)
		}
	}
	t.changed.Notify()
	return nil
}

// observePod takes a pod as a watch returned it.
func (t *Tracker) observePod(pod *corev1.Pod) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.setPodLocked(pod)
	t.changed.Notify()
}

// setPodLocked keeps the parts of a pod that pull states are made from.
func (t *Tracker) setPodLocked(pod *corev1.Pod) {
	name := pod.Labels[jobNameLabel]
	if name == "" {
		return
	}
	if owner := metav1.GetControllerOf(pod); owner != nil {
		if foreign, _ := t.ignored.get(owner.UID); foreign {
			return
		}
	}
	tr := t.pulls[name]
	if tr == nil {
		tr = newTracked(name)
		t.pulls[name] = tr
	}
	trimmed := &corev1.Pod{ObjectMeta: pod.ObjectMeta, Status: pod.Status}
	trimmed.ManagedFields = nil
	trimmed.Spec.NodeName = pod.Spec.NodeName
	tr.pods[pod.UID] = trimmed
	t.updateLocked(tr)
}

// observePodDeleted takes the last version of a pod that is gone.
func (t *Tracker) observePodDeleted(pod *corev1.Pod) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.removePodLocked(pod, pullstate.Version(pod))
	t.changed.Notify()
}

// removePodLocked notes that a pod was gone at a resourceVersion. The pod still counts until the Jobs' watch has reached that
// version: then the Job says how the pod ended.
func (t *Tracker) removePodLocked(pod *corev1.Pod, at uint64) {
	name := pod.Labels[jobNameLabel]
	tr := t.pulls[name]
	if tr == nil || tr.pods[pod.UID] == nil {
		return
	}
	if t.replaying || (tr.job != nil && at > t.jobs) {
		gone, last := pod.DeepCopy(), pod.DeepCopy()
		gone.ResourceVersion = strconv.FormatUint(at, 10)
		last.ResourceVersion = strconv.FormatUint(max(at, 1)-1, 10) // up to then it was there
		t.gonePods[pod.UID] = gone
		t.setPodLocked(last)
		return
	}
	t.forgetPodLocked(tr, pod, at)
}

// forgetGoneLocked forgets a pod of gonePods.
func (t *Tracker) forgetGoneLocked(pod *corev1.Pod) {
	delete(t.gonePods, pod.UID)
	if tr := t.pulls[pod.Labels[jobNameLabel]]; tr != nil && tr.pods[pod.UID] != nil {
		t.forgetPodLocked(tr, pod, pullstate.Version(pod))
	}
}

// forgetPodLocked forgets a pod that was gone at a resourceVersion.
func (t *Tracker) forgetPodLocked(tr *tracked, pod *corev1.Pod, at uint64) {
	tr.podsGone = max(tr.podsGone, at)
	delete(tr.pods, pod.UID)
	delete(tr.logs, pod.UID)
	delete(t.unread, pod.UID)
	t.updateLocked(tr)
	if tr.job == nil && len(tr.pods) == 0 {
		delete(t.pulls, tr.name)
	}
}

// replacePods takes a list of all pods: what is not among them is gone.
func (t *Tracker) replacePods(list *corev1.PodList) {
	t.mu.Lock()
	defer t.mu.Unlock()
	listed := make(map[types.UID]bool, len(list.Items))
	for i := range list.Items {
		listed[list.Items[i].UID] = true
		t.setPodLocked(&list.Items[i])
	}
	for _, tr := range t.pulls {
		for uid, pod := range tr.pods {
			if !listed[uid] && t.gonePods[uid] == nil {
				t.removePodLocked(pod, pullstate.Version(list))
			}
		}
	}
	t.changed.Notify()
}

// observeLog takes what was read of a copier's log.
func (t *Tracker) observeLog(pod *corev1.Pod, log pullstate.Log) {
	t.mu.Lock()
	defer t.mu.Unlock()
	tr := t.pulls[pod.Labels[jobNameLabel]]
	if tr == nil || tr.pods[pod.UID] == nil {
		return
	}
	log, ok := tr.logs[pod.UID].Merge(log)
	if !ok {
		return
	}
	tr.logs[pod.UID] = log
	t.updateLocked(tr)
	t.reportLocked()
	t.changed.Notify()
}
