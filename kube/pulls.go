package kube

import (
	"context"
	"iter"
	"log/slog"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	batchv1client "k8s.io/client-go/kubernetes/typed/batch/v1"
	coordinationv1client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"pullwatch/internal/pull"
	"pullwatch/internal/turns"
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

// Pulls starts, cancels, retries, holds and releases pulls, and pauses and resumes the queue, on a replica that watches the cluster or does not. Its errors are
// usererr.Errors.
type Pulls struct {
	jobs        batchv1client.JobInterface
	pods        corev1client.PodInterface
	leases      coordinationv1client.LeaseInterface
	prototype   *batchv1.Job
	destination string
	known       Known
	tracker     *Tracker
	role        *Role
	health      *Health
	admission   *admission
	// parsing is for references: a long one takes half a millisecond, those of one call 50 ms. All other work that takes a
	// processor for long waits for the same turns. starting is for making Jobs.
	parsing, starting *turns.Turns
	looks             *looks
	logger            *slog.Logger

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
	// Turns are the turns of work that takes a processor for long: parsing references.
	Turns *turns.Turns
	// Tracker takes the Jobs that Pulls writes while this replica watches; Known takes their states while it does not.
	Known   Known
	Tracker *Tracker
	// Role knows the Lease, on which the state of the queue stands.
	Role *Role
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
		leases: o.Client.CoordinationV1().Leases(o.Jobs.Namespace), role: o.Role,
		prototype: prototype, destination: o.Destination, known: o.Known, tracker: o.Tracker, health: o.Health, logger: o.Log,
		admission: newAdmission(o.MaxQueued, o.Known), parsing: o.Turns, starting: turns.New(maxStarting), looks: newLooks(), missing: newRecent[string, time.Time](maxMissing),
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

// guarded calls do, which needs the API server. It cancels do's context when Health finds the API server away. The error is a
// usererr.Error, whose sentence "pullwatch cannot …" is completed by what.
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

// publishWritten publishes the state of a pull whose Job this replica has just made or marked as canceled, and returns it.
func (p *Pulls) publishWritten(job *batchv1.Job) (*pull.State, error) {
	state, watched := p.tracker.observeWritten(job)
	if state != nil {
		return state, nil
	}
	identity, err := pullstate.Identify(job)
	if err != nil {
		return nil, err
	}
	state = pullstate.Read(identity, job, nil, nil).State() // a new Job has no pods, and those of a canceled one do not count
	if !watched {
		p.known.Publish(state)
	}
	return state, nil
}

// retireDeleted retires the pull of a Job that this replica has deleted.
func (p *Pulls) retireDeleted(job *batchv1.Job) {
	if !p.tracker.observeDeleted(job) {
		p.known.Retire(job.Name)
	}
}

// newest returns the known state of a pull, which has a Position, unless the given one is newer.
func (p *Pulls) newest(state *pull.State) *pull.State {
	if known := p.known.Latest(state.ID); known != nil && !state.Supersedes(known) {
		return known
	}
	return state
}
