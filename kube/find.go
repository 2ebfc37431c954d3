package kube

import (
	"context"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"pullwatch/internal/pull"
	"pullwatch/internal/usererr"
	"pullwatch/kube/pullstate"
)

// A dashboard may go on asking for a pull that is gone. For missingTime, Find does not look again for a pull that it did not
// find. It remembers maxMissing of those.
const (
	missingTime = time.Second
	maxMissing  = 1024
)

// Find reads a pull that is not known yet from the API server, publishes its state and returns it. It returns nil when there
// is no such pull, or was none within the last second. It takes 10 s at most.
func (p *Pulls) Find(ctx context.Context, id string) (*pull.State, error) {
	p.mu.Lock()
	missed, _ := p.missing.get(id)
	p.mu.Unlock()
	if time.Since(missed) < missingTime {
		return nil, nil
	}
	state, err := p.lookUp(ctx, id)
	if state == nil && err == nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.missing.put(id, time.Now())
	}
	return state, err
}

func (p *Pulls) lookUp(ctx context.Context, id string) (*pull.State, error) {
	return guarded(ctx, p, "look for a pull", func(ctx context.Context) (*pull.State, error) { return p.find(ctx, id) })
}

func (p *Pulls) find(ctx context.Context, id string) (*pull.State, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	job, err := p.get(ctx, id)
	if usererr.CodeOf(err) == usererr.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if _, err := pullstate.Identify(job); err != nil {
		return nil, nil
	}
	state, err := p.publishFound(ctx, job)
	if err != nil {
		return nil, err
	}
	p.known.Flush(ctx)
	return p.newest(state), nil
}

// get returns the Job of a pull from the API server.
func (p *Pulls) get(ctx context.Context, id string) (*batchv1.Job, error) {
	notFound := usererr.New(usererr.NotFound, "there is no pull %q; it may have ended and been removed", id)
	if len(validation.NameIsDNSSubdomain(id, false)) > 0 {
		return nil, notFound
	}
	job, err := p.jobs.Get(ctx, id, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || (err == nil && job.Labels[labelManagedBy] != managedBy) {
		return nil, notFound
	}
	return job, err
}

// publishFound publishes the state of a pull that is not known, and returns it.
func (p *Pulls) publishFound(ctx context.Context, job *batchv1.Job) (*pull.State, error) {
	view, err := p.view(ctx, job)
	if err != nil {
		return nil, err
	}
	state := view.State()
	if !state.Phase.Final() || state.Phase == pull.Canceled || view.Recorded() { // no other final state follows
		p.known.Publish(state)
	}
	return state, nil
}

// view returns a pull as the API server has it now, without its copiers' logs.
func (p *Pulls) view(ctx context.Context, job *batchv1.Job) (*pullstate.View, error) {
	identity, err := pullstate.Identify(job)
	if err != nil {
		return nil, err
	}
	pods, err := p.podsOf(ctx, job)
	if err != nil {
		return nil, err
	}
	return pullstate.Read(identity, job, pods, nil), nil
}

// podsOf returns the pods of a Job from the API server.
func (p *Pulls) podsOf(ctx context.Context, job *batchv1.Job) ([]*corev1.Pod, error) {
	list, err := p.pods.List(ctx, metav1.ListOptions{LabelSelector: labels.Set{jobNameLabel: job.Name}.String()})
	if err != nil {
		return nil, err
	}
	pods := make([]*corev1.Pod, len(list.Items))
	for i := range list.Items {
		pods[i] = &list.Items[i]
	}
	return pods, nil
}
