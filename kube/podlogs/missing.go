package podlogs

import (
	"context"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"

	"pullwatch/kube/listwatch"
)

// missingPod is a pod that a list or a watch does not show any more. version is the resourceVersion of the news.
type missingPod struct {
	name, version string
	uid           types.UID
}

// setMissing notes that a pod is missing. A watch sends the same for a pod that was deleted and for one whose labels have
// changed. lookUpMissing finds out which. There is no need for that if the pod was being deleted, or will not write any more.
// mu is held.
func (w *targetWatch) setMissing(uid types.UID, version string) {
	pod, ok := w.pods[uid]
	if !ok || pod.terminating || pod.Finished || w.target.Pod != "" {
		return
	}
	w.missing = append(w.missing, missingPod{name: pod.Name, version: version, uid: uid})
	w.wakeLookup()
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

// lookUpMissing looks for pods that are missing, and publishes those that still exist. When a selector has lost all its pods,
// it finds out why. It returns when ctx ends.
func (w *targetWatch) lookUpMissing(ctx context.Context) error {
	for {
		select {
		case <-w.lookup:
		case <-ctx.Done():
			return ctx.Err()
		}
		w.mu.Lock()
		missing, lost := w.missing, w.lost && w.lostWhy == ""
		w.missing = nil
		w.mu.Unlock()
		for _, pod := range missing {
			if w.exists(ctx, pod) {
				w.publish(func() { w.setLeft(pod.uid) })
			}
		}
		if lost {
			why := w.whyLost(ctx)
			w.publish(func() { w.lostWhy = why })
		}
	}
}

func (w *targetWatch) setLeft(uid types.UID) {
	if _, cameBack := w.pods[uid]; cameBack || slices.Contains(w.left, uid) {
		return
	}
	if len(w.left) == maxTargetPods {
		w.left = slices.Delete(w.left, 0, 1)
	}
	w.left = append(w.left, uid)
}

// exists reports whether a pod exists at its version or later. It returns false if nobody answers: the log of a pod that was
// deleted ends by itself.
func (w *targetWatch) exists(ctx context.Context, pod missingPod) bool {
	ctx, cancel := context.WithTimeout(ctx, listwatch.ListTimeout)
	defer cancel()
	list, err := w.client.CoreV1().Pods(w.target.Namespace).List(ctx, metav1.ListOptions{
		FieldSelector:        fields.OneTermEqualSelector(metav1.ObjectNameField, pod.name).String(),
		ResourceVersion:      pod.version,
		ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan,
	})
	return err == nil && len(list.Items) == 1 && list.Items[0].UID == pod.uid
}
