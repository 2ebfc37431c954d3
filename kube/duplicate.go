package kube

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"pullwatch/internal/pull"
	"pullwatch/kube/pullstate"
)

// Replicas that start the same pull at the same moment choose the same name for its Job, unless a second ends in between or their
// clocks differ. Then each makes a Job. The one that was made first stays: whoever makes a Job looks afterwards which others there
// are, and gives its own up if another one was there before. Of two Jobs the second is always found so, and the first never.

// giveUpDuplicates gives up the pulls in starts.made of whose routes others had been started before. It returns those that go on
// instead, by the ids of those that were given up. It costs one request, which calls at the same time share, and more only for
// duplicates. The error means that there may be duplicates.
func (p *Pulls) giveUpDuplicates(ctx context.Context, starts *starts) (goOn map[string]*pull.State, err error) {
	if len(starts.made) == 0 {
		return nil, nil
	}
	present, err := p.looks.look(ctx, p.activeJobs, starts.made)
	if err != nil {
		return nil, err
	}
	goOn = map[string]*pull.State{}
	for _, job := range starts.made {
		earlier, err := p.earlier(ctx, job, present)
		if err != nil {
			return goOn, err
		}
		if earlier == nil {
			continue
		}
		if goOn[job.Name], err = p.giveUp(ctx, job, earlier); err != nil {
			return goOn, err
		}
		present = slices.DeleteFunc(present, func(j batchv1.Job) bool { return j.UID == job.UID })
	}
	return goOn, nil
}

// activeJobs lists the Jobs of the same routes as jobs that have not ended and are not being deleted. With zero options the API
// server answers with what is true after the request has begun.
func (p *Pulls) activeJobs(ctx context.Context, options metav1.ListOptions, jobs ...*batchv1.Job) ([]batchv1.Job, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	keys := make([]string, len(jobs))
	for i, job := range jobs {
		keys[i] = job.Labels[labelKey]
	}
	options.LabelSelector = fmt.Sprintf("%s,%s in (%s)", selector, labelKey, strings.Join(keys, ","))
	list, err := p.jobs.List(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("look for duplicates: %w", err)
	}
	return slices.DeleteFunc(list.Items, func(job batchv1.Job) bool {
		_, canceled := pullstate.Canceled(&job)
		return canceled || pullstate.Ended(&job) || job.DeletionTimestamp != nil
	}), nil
}

// earlier returns the Job of present that is of the same route as job and was made before it, nil when there is none. Of several it
// returns the first. present are Jobs that have not ended.
func (p *Pulls) earlier(ctx context.Context, job *batchv1.Job, present []batchv1.Job) (*batchv1.Job, error) {
	others := map[types.UID]*batchv1.Job{}
	for i := range present {
		if other := &present[i]; other.UID != job.UID && other.Labels[labelKey] == job.Labels[labelKey] {
			others[other.UID] = other
		}
	}
	if len(others) == 0 {
		return nil, nil
	}
	// As of the resourceVersion with which job was made, only Jobs that were made before it exist.
	past, err := p.activeJobs(ctx, exactly(metav1.ListOptions{}, pullstate.Version(job)), job)
	if err != nil {
		return nil, err
	}
	waits := func(job batchv1.Job) int {
		if pullstate.Suspended(&job) {
			return 1
		}
		return 0
	}
	// The resourceVersions of Jobs that nobody has changed yet are those with which they were made. A Job that has left the queue was
	// made before.
	slices.SortFunc(past, func(a, b batchv1.Job) int {
		return cmp.Or(waits(a)-waits(b), cmp.Compare(pullstate.Version(&a), pullstate.Version(&b)))
	})
	for _, before := range past {
		if other := others[before.UID]; other != nil {
			return other, nil
		}
	}
	return nil, nil
}

// giveUp ends the pull of a Job that this call has made, as one that was canceled. It returns the state of the pull that goes on.
func (p *Pulls) giveUp(ctx context.Context, job, instead *batchv1.Job) (*pull.State, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	identity, err := pullstate.Identify(job)
	if err != nil {
		return nil, err
	}
	patch, err := pullstate.Cancellation{
		Last: pullstate.Read(identity, job, nil, nil).State(), At: time.Now(), Instead: instead.Name,
	}.Patch()
	if err != nil {
		return nil, err
	}
	canceled, err := p.jobs.Patch(ctx, job.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	if err == nil {
		_, err = p.endCanceled(ctx, canceled)
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("give up a duplicate: %w", err)
	}
	if known := p.known.Latest(instead.Name); known != nil {
		return known, nil
	}
	return p.publishFound(ctx, instead)
}
