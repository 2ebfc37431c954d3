package kube

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"pullwatch/pull"
)

// Reader lists pulls: from this replica's own watch while that is open, otherwise from the API server.
type Reader struct {
	client    kubernetes.Interface
	namespace string
	watch     *Watch
}

// NewReader returns a Reader of the pulls in namespace.
func NewReader(client kubernetes.Interface, namespace string, watch *Watch) *Reader {
	return &Reader{client: client, namespace: namespace, watch: watch}
}

// Active returns the pulls that have not ended, newest first. The error is a usererr.Error.
func (r *Reader) Active(ctx context.Context) ([]*pull.Job, error) {
	if r.watch.Live() {
		jobs := r.watch.tracker.Active()
		pull.SortActive(jobs)
		return jobs, nil
	}
	jobs, err := r.list(ctx, func(j *pull.Job) bool { return !j.Phase.Final() })
	if err != nil {
		return nil, userError(err, "list pulls")
	}
	pull.SortActive(jobs)
	return jobs, nil
}

// Failed returns the failed pulls, the latest first. The error is a usererr.Error.
func (r *Reader) Failed(ctx context.Context) ([]*pull.Job, error) {
	if r.watch.Live() {
		jobs := r.watch.tracker.Failed()
		pull.SortFailed(jobs)
		return jobs, nil
	}
	jobs, err := r.list(ctx, func(j *pull.Job) bool { return j.Phase == pull.Failed })
	if err != nil {
		return nil, userError(err, "list pulls")
	}
	pull.SortFailed(jobs)
	return jobs, nil
}

// list computes the states of all pulls from the API server and keeps the ones wanted.
func (r *Reader) list(ctx context.Context, wanted func(*pull.Job) bool) ([]*pull.Job, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	options := metav1.ListOptions{LabelSelector: selector}
	list, err := r.client.BatchV1().Jobs(r.namespace).List(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("list Jobs: %w", err)
	}
	pods, err := r.client.CoreV1().Pods(r.namespace).List(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	podsOf := map[string][]*corev1.Pod{}
	for i := range pods.Items {
		job := pods.Items[i].Labels[jobNameLabel]
		podsOf[job] = append(podsOf[job], &pods.Items[i])
	}
	jobs := []*pull.Job{}
	for i := range list.Items {
		job := &list.Items[i]
		id, err := identify(job)
		if err != nil {
			continue
		}
		if state := stateOf(id, job, podsOf[job.Name], r.watch.tracker.logsOf(job.Name)); wanted(state) {
			jobs = append(jobs, state)
		}
	}
	return jobs, nil
}
