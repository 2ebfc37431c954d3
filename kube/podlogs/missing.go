package podlogs

import (
	"context"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"

	"pullwatch/kube/listwatch"
)

// show takes in a pod that a watch shows. Another one of the same name that is missing was deleted. mu is held.
func (w *targetWatch) show(pod *corev1.Pod) {
	maps.DeleteFunc(w.pods, func(_ types.UID, other targetPod) bool { return other.missing != 0 && other.Name == pod.Name })
	w.take(pod)
	w.left = slices.DeleteFunc(w.left, func(uid types.UID) bool { return uid == pod.UID })
}

// take takes in what a list or a watch says of a pod. mu is held.
func (w *targetWatch) take(pod *corev1.Pod) {
	now, before := newTargetPod(pod), w.pods[pod.UID]
	keepLost(&now.Pod, &before.Pod)
	w.pods[pod.UID] = now
}

// hide is called when a list or a watch does not show a pod any more. They say the same of a pod that was deleted and of one
// whose labels have changed. So the pod is missing, and snapshots have it, until lookUpMissing has found out which. There is no
// need for that if the pod was being deleted. mu is held.
func (w *targetWatch) hide(uid types.UID) {
	pod, ok := w.pods[uid]
	switch {
	case !ok, pod.missing != 0:
	case pod.terminating, w.target.Pod != "", !w.owns(pod):
		delete(w.pods, uid)
	default:
		w.absences++
		pod.missing = w.absences
		w.pods[uid] = pod
		w.wakeLookup()
	}
}

// changed is called after each change of pods. mu is held.
func (w *targetWatch) changed() {
	w.forgetJobs()
	w.setLost()
}

func (w *targetWatch) wakeLookup() {
	select {
	case w.lookup <- struct{}{}:
	default:
	}
}

// setLost notes whether a selector has lost all its pods. mu is held.
func (w *targetWatch) setLost() {
	if w.target.Selector == "" {
		return
	}
	lost := len(w.pods) == 0 && w.hadPods
	w.hadPods = w.hadPods || len(w.pods) > 0
	if lost && !w.lost {
		w.lostWhy = ""
		w.wakeLookup()
	}
	w.lost = lost
}

// lookUpMissing finds out what became of pods that are missing, and publishes it. It tries again while nobody answers. When a
// selector has lost all its pods, it finds out why. It returns when ctx ends.
func (w *targetWatch) lookUpMissing(ctx context.Context) error {
	backoff := listwatch.NewBackoff()
	for {
		select {
		case <-w.lookup:
		case <-ctx.Done():
			return ctx.Err()
		}
		if w.lookUp(ctx) {
			backoff = listwatch.NewBackoff()
			continue
		}
		if !listwatch.Sleep(ctx, backoff.Step()) {
			return ctx.Err()
		}
		w.wakeLookup()
	}
}

// lookUp looks for the pods that are missing now. It returns false if a request has failed.
func (w *targetWatch) lookUp(ctx context.Context) (ok bool) {
	w.mu.Lock()
	missing, lost := maps.Clone(w.pods), w.lost && w.lostWhy == ""
	w.mu.Unlock()
	for uid, pod := range missing {
		if pod.missing == 0 {
			continue
		}
		exists, err := w.exists(ctx, pod)
		if err != nil {
			return false
		}
		w.publish(func() { w.found(uid, pod.missing, exists) })
	}
	if lost {
		why := w.whyLost(ctx)
		w.publish(func() { w.lostWhy = why })
	}
	return true
}

// found takes out a pod that is missing, unless it has come back meanwhile. If it exists, it has left. mu is held.
func (w *targetWatch) found(uid types.UID, absence int, exists bool) {
	if w.pods[uid].missing != absence {
		return
	}
	delete(w.pods, uid)
	if exists {
		if len(w.left) == maxTargetPods {
			w.left = slices.Delete(w.left, 0, 1)
		}
		w.left = append(w.left, uid)
	}
	w.changed()
}

// exists reports whether a pod exists now.
func (w *targetWatch) exists(ctx context.Context, pod targetPod) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, listwatch.ListTimeout)
	defer cancel()
	list, err := w.client.CoreV1().Pods(w.target.Namespace).List(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector(metav1.ObjectNameField, pod.Name).String(),
	})
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(list.Items, func(other corev1.Pod) bool { return string(other.UID) == pod.UID }), nil
}
