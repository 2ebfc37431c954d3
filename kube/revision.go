package kube

import (
	"cmp"
	"strconv"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"pullwatch/internal/pull"
)

// How new the parts are that a state is made from.

// version returns the resourceVersion of an object or a list. Kubernetes promises since 1.35 that it is a number and grows
// over all objects of a kind; Jobs and pods share one etcd everywhere but in rare set-ups that split them.
func version(o interface{ GetResourceVersion() string }) uint64 {
	return parseVersion(o.GetResourceVersion())
}

// parseVersion returns 0 for what is no number.
func parseVersion(resourceVersion string) uint64 {
	v, _ := strconv.ParseUint(resourceVersion, 10, 64)
	return v
}

func revisionOf(job *batchv1.Job, pods []*corev1.Pod, log copierLog) pull.Revision {
	r := pull.Revision{Cluster: version(job), Step: log.step()}
	for _, pod := range pods {
		r.Pods = max(r.Pods, version(pod))
	}
	return r
}

// step returns a number that grows with each line of the log. It does not depend on where the log began to be read, and is
// even.
func (l copierLog) step() uint64 {
	const lines = 128 // of one millisecond
	var ms uint64
	if !l.last.Time.IsZero() {
		ms = uint64(max(0, l.last.Time.UnixMilli()))
	}
	return 2 * (ms*lines + min(l.since, lines-1))
}

// lastWords returns the log that the state is made from: that of the current attempt, or of the one before until the copier
// has started again. Pods are in the order of their creation.
func lastWords(pods []*corev1.Pod, logs map[types.UID]copierLog) copierLog {
	n := len(pods)
	if n == 0 {
		return copierLog{}
	}
	if copier := copierStatus(pods[n-1]); n > 1 && (copier == nil || !started(copier)) {
		n--
	}
	return logs[pods[n-1].UID]
}

// comparePods orders the pods of a Job as they were created.
func comparePods(a, b *corev1.Pod) int {
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.UID, b.UID))
}
