package kube

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"pullwatch/internal/pull"
	"pullwatch/kube/pullstate"
)

// Reader lists pulls from the API server.
type Reader struct {
	client    kubernetes.Interface
	namespace string
	latest    func(id string) *pull.State
}

// NewReader returns a Reader of the pulls in namespace. latest returns the known state of a pull, or nil. A known state that
// is no older than what was read is taken instead, because it has what the copier wrote and a Position.
func NewReader(client kubernetes.Interface, namespace string, latest func(id string) *pull.State) *Reader {
	return &Reader{client: client, namespace: namespace, latest: latest}
}

// Load returns the pulls that have not ended, newest first, and the failed ones, the latest first. Both are at least as
// new as version, a resourceVersion of Jobs. Load lists Jobs and pods, and takes 10 s at most. The error is a usererr.Error.
func (r *Reader) Load(ctx context.Context) (active, failed []*pull.State, version uint64, err error) {
	states, version, err := r.list(ctx)
	if err != nil {
		return nil, nil, 0, userError(err, "list pulls")
	}
	active, failed = []*pull.State{}, []*pull.State{}
	for _, state := range states {
		switch {
		case !state.Phase.Final():
			active = append(active, state)
		case state.Phase == pull.Failed:
			failed = append(failed, state)
		}
	}
	pull.SortActive(active)
	pull.SortFailed(failed)
	return active, failed, version, nil
}

// list returns the states of all pulls.
func (r *Reader) list(ctx context.Context) ([]*pull.State, uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	options := metav1.ListOptions{LabelSelector: selector}
	jobs, err := r.client.BatchV1().Jobs(r.namespace).List(ctx, options)
	if err != nil {
		return nil, 0, fmt.Errorf("list Jobs: %w", err)
	}
	// Pods come second, so that they are no older than the Jobs whose version is returned.
	pods, err := r.client.CoreV1().Pods(r.namespace).List(ctx, options)
	if err != nil {
		return nil, 0, fmt.Errorf("list pods: %w", err)
	}
	podsOf := map[string][]*corev1.Pod{}
	for i := range pods.Items {
		job := pods.Items[i].Labels[jobNameLabel]
		podsOf[job] = append(podsOf[job], &pods.Items[i])
	}
	states := make([]*pull.State, 0, len(jobs.Items))
	for i := range jobs.Items {
		job := &jobs.Items[i]
		identity, err := pullstate.Identify(job)
		if err != nil {
			continue
		}
		state := pullstate.Read(identity, job, podsOf[job.Name], nil).State()
		if known := r.latest(job.Name); known != nil && !state.Supersedes(known) {
			state = known
		}
		states = append(states, state)
	}
	return states, pullstate.Version(jobs), nil
}
