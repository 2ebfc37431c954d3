package kube

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	batchv1client "k8s.io/client-go/kubernetes/typed/batch/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"pullwatch/internal/budget"
	"pullwatch/internal/pull"
	"pullwatch/internal/turns"
	"pullwatch/internal/usererr"
	"pullwatch/kube/pullstate"
)

// Known holds the pulls that this replica knows, whichever replica watches.
type Known interface {
	// Publish takes a pull's state. A state that does not supersede the known one is dropped.
	Publish(*pull.State)
	// Retire takes the id of a pull whose Job is gone. No state of it follows.
	Retire(id string)
	// Latest returns the known state of a pull, nil when there is none.
	Latest(id string) *pull.State
	// Running returns the pull of a route that has not ended; nil for none.
	Running(pull.Route) *pull.State
	// Queued returns how many known pulls wait in the queue, and adds those of starting that are not known yet.
	Queued(starting iter.Seq[string]) int
	// Flush returns when Latest returns what was published before, or after a moment.
	Flush(ctx context.Context)
	// AwaitSync waits until the pulls in the cluster are known. It gives up with a usererr.Unavailable.
	AwaitSync(ctx context.Context) error
}

// Pulls starts, cancels and retries pulls, on a replica that watches the cluster or does not. Its errors are
// usererr.Errors.
type Pulls struct {
	jobs        batchv1client.JobInterface
	pods        corev1client.PodInterface
	prototype   *batchv1.Job
	destination string
	known       Known
	tracker     *Tracker
	health      *Health
	admission   *admission
	// parsing is shared with all other work that takes a processor for long: a long reference takes half a millisecond, those
	// of one call 50 ms. starting is for Jobs that are being made.
	parsing, starting *turns.Turns
	log               *slog.Logger

	mu sync.Mutex
	// missing holds when Find last did not find a pull.
	missing *recent[string, time.Time]
}

// PullsOptions say how Pulls work.
type PullsOptions struct {
	Client kubernetes.Interface
	// Jobs is what the Jobs of all pulls have in common.
	Jobs JobSettings
	// Destination is where images are copied to unless a caller names another place, as pull.ParseDestination returned it;
	// empty for none.
	Destination string
	// MaxQueued is how many pulls may wait in the queue, at least 1. A pull is refused when it would be one more.
	MaxQueued int
	// Turns are those in which references are parsed.
	Turns *turns.Turns
	// Tracker takes the Jobs that Pulls writes while this replica watches; Known takes their states while it does not.
	Known   Known
	Tracker *Tracker
	// Health observes Client. Calls end when it finds the API server away.
	Health *Health
	Log    *slog.Logger
}

// NewPulls returns Pulls. The error says what is wrong with the Job template.
func NewPulls(o PullsOptions) (*Pulls, error) {
	prototype, err := newJobPrototype(o.Jobs)
	if err != nil {
		return nil, err
	}
	return &Pulls{
		jobs: o.Client.BatchV1().Jobs(o.Jobs.Namespace), pods: o.Client.CoreV1().Pods(o.Jobs.Namespace),
		prototype: prototype, destination: o.Destination, known: o.Known, tracker: o.Tracker, health: o.Health, log: o.Log,
		admission: newAdmission(o.MaxQueued, o.Known), parsing: o.Turns, starting: turns.New(maxStarting), missing: newRecent[string, time.Time](maxMissing),
	}, nil
}

// CheckTemplate asks the API server whether it would accept the Job of a pull. It returns nil when the server does not answer:
// that says nothing about the template.
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

// maxStarting is how many pulls are started at a time. Clients take turns, so that one with hundreds of pulls does not hold up
// the others.
const maxStarting = 4

// startTimeout bounds a call that starts up to pull.MaxStart pulls.
const startTimeout = 30 * time.Second

// Start starts a pull of each image. Every image has a result of its own, in the order given; an error means that none
// was started.
func (p *Pulls) Start(ctx context.Context, asked pull.StartRequest) ([]*pull.StartResult, error) {
	if n := len(asked.Images); n == 0 || n > pull.MaxStart {
		return nil, usererr.New(usererr.BadInput, "images holds %d references; give 1 to %d in one call", n, pull.MaxStart)
	}
	platforms, err := pull.ParsePlatforms(asked.Platforms)
	if err != nil {
		return nil, err
	}
	to := p.destination
	if asked.Destination != nil {
		if to, err = pull.ParseDestination(*asked.Destination); err != nil {
			return nil, err
		}
	}
	if to == "" {
		return nil, usererr.New(usererr.BadInput, "no destination is given and the server has no default; give input.destination or start the server with --destination")
	}
	return guarded(ctx, p, "start pulls", func(ctx context.Context) ([]*pull.StartResult, error) {
		return p.startAll(ctx, asked.Images, to, platforms)
	})
}

func (p *Pulls) startAll(ctx context.Context, images []string, to string, platforms []string) ([]*pull.StartResult, error) {
	if err := p.known.AwaitSync(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	starts := &starts{admission: p.admission}
	defer starts.end()
	// One after the other, so that the leader sees them in the order in which they are to start.
	results := make([]*pull.StartResult, len(images))
	for i, image := range images {
		results[i] = p.startOne(ctx, image, to, platforms, starts)
	}
	p.known.Flush(ctx)
	p.logFailures(results)
	for _, result := range results {
		if result.Pull != nil {
			result.Pull = p.newest(result.Pull)
		}
	}
	return results, nil
}

// logFailures logs one line for all pulls that were not started, but for mistakes of the caller.
func (p *Pulls) logFailures(results []*pull.StartResult) {
	failures := slices.DeleteFunc(slices.Clone(results), func(r *pull.StartResult) bool {
		return r.Error == nil || !r.Error.IsFailure() || errors.Is(r.Error, context.Canceled) // when the caller has gone
	})
	if len(failures) > 0 {
		first := failures[0]
		p.log.Warn("pulls could not be started", "pulls", len(failures), "image", first.Image, "error", first.Error)
	}
}

func (p *Pulls) startOne(ctx context.Context, given, destination string, platforms []string, starts *starts) *pull.StartResult {
	result := &pull.StartResult{Image: given}
	r := request{platforms: platforms}
	err := inTurn(ctx, p.parsing, func() (err error) {
		if r.image, err = pull.ParseImage(given); err == nil {
			r.destination, err = r.target(destination)
		}
		return err
	})
	if err == nil {
		err = inTurn(ctx, p.starting, func() (err error) {
			result.Pull, result.Joined, err = p.start(ctx, r, starts)
			return err
		})
	}
	if err != nil {
		result.Error = asUserError(ctx, err, "start a pull")
	}
	return result
}

// inTurn calls work when it is the client's turn.
func inTurn(ctx context.Context, turns *turns.Turns, work func() error) error {
	end, err := turns.Take(ctx, budget.From(ctx).Caller())
	if err != nil {
		return err
	}
	defer end()
	return work()
}

// start makes the Job of a pull, or joins the pull of the same route that has not ended. Replicas that start the same pull at
// the same moment choose the same name, and all but one find that it exists. A Job that is made is added to starts.
func (p *Pulls) start(ctx context.Context, r request, starts *starts) (state *pull.State, joined bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if running := p.known.Running(r.route()); running != nil {
		state, err := p.join(ctx, running.ID)
		if err != nil || state != nil {
			return state, state != nil, err
		}
	}
	now := time.Now()
	// Each day has its own range of numbers, so that a name does not come back when Kubernetes has deleted its Job.
	const perDay = 1000
	for n := now.Unix() / int64(24*60*60) * perDay; ; n++ {
		name := jobName(r, n)
		known := p.known.Latest(name)
		if known != nil && known.Phase.Final() {
			continue
		}
		// Another replica may have made it since Running was asked.
		if known == nil {
			if err := starts.admit(name); err != nil {
				return nil, false, err
			}
			job, err := p.jobs.Create(ctx, r.job(p.prototype, n, now), metav1.CreateOptions{})
			if err == nil {
				state, err := p.publishWritten(job)
				return state, false, err
			}
			starts.withdraw()
			if !apierrors.IsAlreadyExists(err) {
				return nil, false, err
			}
		}
		state, err := p.join(ctx, name)
		if err != nil || state != nil {
			return state, state != nil, err
		}
	}
}

// join returns the state of a pull if its Job exists and has not ended, nil otherwise.
func (p *Pulls) join(ctx context.Context, id string) (*pull.State, error) {
	job, err := p.jobs.Get(ctx, id, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if _, canceled := pullstate.Canceled(job); canceled || pullstate.Finished(job) {
		return nil, nil
	}
	if state := p.known.Latest(id); state != nil {
		return state, nil
	}
	return p.publishFound(ctx, job)
}

// Retry starts a failed pull again. It returns the new pull, or the one of the same route that has not ended, so that retrying
// twice starts it once.
func (p *Pulls) Retry(ctx context.Context, id string) (*pull.State, error) {
	return guarded(ctx, p, "retry a pull", func(ctx context.Context) (*pull.State, error) { return p.retry(ctx, id) })
}

func (p *Pulls) retry(ctx context.Context, id string) (*pull.State, error) {
	if err := p.known.AwaitSync(ctx); err != nil {
		return nil, err
	}
	getting, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	job, err := p.get(getting, id)
	if last := p.known.Latest(id); usererr.CodeOf(err) == usererr.NotFound && last != nil {
		return nil, usererr.New(usererr.Conflict, "pull %s ended as %s and its Job is gone; start the image again with startPulls", id, last.Phase)
	}
	if err != nil {
		return nil, err
	}
	of, err := pullstate.Identify(job)
	if err != nil {
		return nil, usererr.New(usererr.NotFound, "there is no pull %q", id)
	}
	if pullstate.Condition(job, batchv1.JobFailed) == nil {
		return nil, usererr.New(usererr.Conflict, "pull %s has not failed; only a failed pull can be retried", id)
	}
	starts := &starts{admission: p.admission}
	defer starts.end()
	var state *pull.State
	err = inTurn(ctx, p.starting, func() (err error) {
		state, _, err = p.start(ctx, request{image: of.Image, destination: of.Destination, platforms: of.Platforms, retryOf: &id}, starts)
		return err
	})
	if err != nil {
		return nil, err
	}
	p.known.Flush(ctx)
	return p.newest(state), nil
}

// guarded calls do, which needs the API server, and cancels its context when the server is found away. The error is a
// usererr.Error, for which what completes "pullwatch cannot …".
func guarded[T any](ctx context.Context, p *Pulls, what string, do func(context.Context) (T, error)) (T, error) {
	var none T
	ctx, release, err := p.health.guard(ctx)
	if err != nil {
		return none, asUserError(ctx, err, what)
	}
	defer release()
	result, err := do(ctx)
	if err != nil {
		return none, asUserError(ctx, err, what)
	}
	return result, nil
}

// asUserError returns the error that a caller sees when Kubernetes did not do something.
func asUserError(ctx context.Context, err error, what string) *usererr.Error {
	if e, ok := errors.AsType[*usererr.Error](err); ok {
		return e
	}
	if errors.Is(context.Cause(ctx), errAway) {
		return unanswered(nil, what) // no cause: Health has logged it once, for all callers
	}
	return userError(err, what)
}
