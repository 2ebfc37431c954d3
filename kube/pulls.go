package kube

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	batchv1client "k8s.io/client-go/kubernetes/typed/batch/v1"

	"pullwatch/pull"
	"pullwatch/usererr"
)

// Pulls starts, cancels and retries pulls. Its errors are usererr.Errors.
type Pulls struct {
	jobs        batchv1client.JobInterface
	prototype   *batchv1.Job
	destination string
	watch       *Watch
	tracker     *Tracker
	log         *slog.Logger
}

// NewPulls returns Pulls that make Jobs as settings say and copy to destination, as pull.ParseDestination returned it,
// unless a caller names another; empty for none. It returns an error when the Job template in settings is no good.
func NewPulls(client kubernetes.Interface, settings JobSettings, destination string, watch *Watch, log *slog.Logger) (*Pulls, error) {
	prototype, err := newJobPrototype(settings)
	if err != nil {
		return nil, err
	}
	return &Pulls{
		jobs: client.BatchV1().Jobs(settings.Namespace), prototype: prototype, destination: destination,
		watch: watch, tracker: watch.tracker, log: log,
	}, nil
}

// CheckTemplate asks the API server whether it would accept the Job of a pull. It returns nil when the server cannot be
// asked, because that says nothing about the template.
func (p *Pulls) CheckTemplate(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	image, err := pull.ParseImage("example.invalid/check:template")
	if err != nil {
		return err
	}
	job := request{image: image, destination: image}.job(p.prototype, 0, time.Now())
	_, err = p.jobs.Create(ctx, job, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) {
		return err
	}
	return nil
}

// startTimeout bounds a call that starts up to pull.MaxStart pulls.
const startTimeout = 30 * time.Second

// Start starts a pull of each image to destination, nil for the configured one. Every image has a result of its own, in
// the order given; an error means that none was started.
func (p *Pulls) Start(ctx context.Context, images []string, destination *string) ([]*pull.StartResult, error) {
	if len(images) == 0 || len(images) > pull.MaxStart {
		return nil, usererr.New(usererr.BadInput, "images holds %d references; give 1 to %d in one call", len(images), pull.MaxStart)
	}
	to := p.destination
	if destination != nil {
		var err error
		if to, err = pull.ParseDestination(*destination); err != nil {
			return nil, err
		}
	}
	if to == "" {
		return nil, usererr.New(usererr.BadInput, "no destination is given and the server has no default; give input.destination or start the server with --destination")
	}
	if err := p.watch.AwaitSync(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	// One after the other, so that the leader sees them in the order in which they are to start.
	results := make([]*pull.StartResult, len(images))
	for i, image := range images {
		results[i] = p.startOne(ctx, image, to)
	}
	return results, nil
}

func (p *Pulls) startOne(ctx context.Context, given, destination string) *pull.StartResult {
	result := &pull.StartResult{Image: given}
	image, err := pull.ParseImage(given)
	if err == nil {
		var at pull.ImageReference
		if at, err = image.At(destination); err == nil {
			result.Pull, result.Joined, err = p.start(ctx, request{image: image, destination: at})
		}
	}
	if err != nil {
		result.Error = p.asUserError(err, "start a pull")
		if cause := errors.Unwrap(result.Error); cause != nil {
			p.log.Warn("a pull could not be started", "image", given, "error", cause)
		}
	}
	return result
}

// start makes the Job of a pull, or joins the pull of the same image and destination that has not ended. Replicas that
// start the same pull at the same moment choose the same name, and all but one find that it exists.
func (p *Pulls) start(ctx context.Context, r request) (state *pull.Job, joined bool, err error) {
	running, highest := p.tracker.claim(r.key())
	if running != nil {
		return running, true, nil
	}
	now := time.Now()
	// A day has its own range of numbers, so that a name is not used again once Kubernetes has deleted its Job.
	const perDay = 1000
	n := max(highest+1, now.Unix()/int64(24*60*60)*perDay)
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for ; ; n++ {
		job, err := p.jobs.Create(ctx, r.job(p.prototype, n, now), metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			if job, err = p.jobs.Get(ctx, jobName(r, n), metav1.GetOptions{}); apierrors.IsNotFound(err) {
				continue // deleted in between
			}
			joined = err == nil
		}
		if err != nil {
			return nil, false, err
		}
		p.tracker.observeJob(job)
		if _, canceled := canceledAt(job); joined && (canceled || finished(job)) {
			joined = false
			continue
		}
		state, err := p.stateOf(job)
		return state, joined, err
	}
}

// stateOf returns the state of a Job that the tracker has just been told of; the Job may be gone again.
func (p *Pulls) stateOf(job *batchv1.Job) (*pull.Job, error) {
	if state := p.tracker.state(job.Name); state != nil {
		return state, nil
	}
	id, err := identify(job)
	if err != nil {
		return nil, err
	}
	return stateOf(id, job, nil, nil), nil
}

// Cancel stops a pull that has not ended and deletes its Job. It returns the pull's last state.
func (p *Pulls) Cancel(ctx context.Context, id string) (*pull.Job, error) {
	state, err := p.cancel(ctx, id)
	if err != nil {
		return nil, p.asUserError(err, "cancel a pull")
	}
	return state, nil
}

func (p *Pulls) cancel(ctx context.Context, id string) (*pull.Job, error) {
	if err := p.watch.AwaitSync(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for {
		job, err := p.get(ctx, id)
		if last := p.tracker.feed.Latest(id); usererr.CodeOf(err) == usererr.NotFound && last != nil && last.Phase == pull.Canceled {
			return last, nil // somebody else asked for the same
		}
		if err != nil {
			return nil, err
		}
		if finished(job) {
			p.tracker.observeJob(job)
			return nil, usererr.New(usererr.Conflict, "pull %s has already ended; only a pull that has not can be canceled", id)
		}
		if _, canceled := canceledAt(job); canceled { // and not deleted yet
			return p.deleteCanceled(ctx, job)
		}
		// With the version in the patch, a pull that ends at this moment is not called canceled afterwards.
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
			"resourceVersion": job.ResourceVersion,
			"annotations":     map[string]string{annotationCanceled: time.Now().UTC().Format(time.RFC3339Nano)},
		}})
		if err != nil {
			return nil, err
		}
		job, err = p.jobs.Patch(ctx, id, types.MergePatchType, patch, metav1.PatchOptions{})
		if apierrors.IsConflict(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return p.deleteCanceled(ctx, job)
	}
}

// deleteCanceled deletes the Job of a pull that is marked as canceled, and returns the pull's last state.
func (p *Pulls) deleteCanceled(ctx context.Context, job *batchv1.Job) (*pull.Job, error) {
	p.tracker.observeJob(job)
	state, err := p.stateOf(job)
	if err != nil {
		return nil, err
	}
	if err := deleteJob(ctx, p.jobs, job); err != nil {
		p.log.Warn("a canceled pull's Job could not be deleted; the leader will", "job", job.Name, "error", err)
		return state, nil
	}
	p.tracker.observeDeleted(job)
	return state, nil
}

// Retry starts a failed pull again. It returns the new pull, or the one of the same image and destination that has not
// ended, so that retrying twice starts it once.
func (p *Pulls) Retry(ctx context.Context, id string) (*pull.Job, error) {
	state, err := p.retry(ctx, id)
	if err != nil {
		return nil, p.asUserError(err, "retry a pull")
	}
	return state, nil
}

func (p *Pulls) retry(ctx context.Context, id string) (*pull.Job, error) {
	if err := p.watch.AwaitSync(ctx); err != nil {
		return nil, err
	}
	getting, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	job, err := p.get(getting, id)
	if last := p.tracker.feed.Latest(id); usererr.CodeOf(err) == usererr.NotFound && last != nil {
		return nil, usererr.New(usererr.Conflict, "pull %s ended as %s and its Job is gone; start the image again with startPulls", id, last.Phase)
	}
	if err != nil {
		return nil, err
	}
	p.tracker.observeJob(job) // this replica's watch may be behind
	of, err := identify(job)
	if err != nil {
		return nil, usererr.New(usererr.NotFound, "there is no pull %q", id)
	}
	if condition(job, batchv1.JobFailed) == nil {
		return nil, usererr.New(usererr.Conflict, "pull %s has not failed; only a failed pull can be retried", id)
	}
	state, _, err := p.start(ctx, request{image: of.image, destination: of.destination, retryOf: &id})
	return state, err
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

// asUserError says in words for the caller why Kubernetes would not do something.
func (p *Pulls) asUserError(err error, what string) *usererr.Error {
	if e, ok := errors.AsType[*usererr.Error](err); ok {
		return e
	}
	return userError(err, what)
}
