package kube

import (
	"context"
	"errors"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pullwatch/internal/budget"
	"pullwatch/internal/pull"
	"pullwatch/internal/turns"
	"pullwatch/internal/usererr"
	"pullwatch/kube/pullstate"
)

// maxStarting is how many pulls are started at a time. Clients take turns, so one that starts hundreds does not hold up the
// others.
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
	goOn, err := p.giveUpDuplicates(ctx, starts)
	for _, result := range results {
		if result.Pull == nil {
			continue
		}
		if earlier := goOn[result.Pull.ID]; earlier != nil {
			result.Pull, result.Joined = earlier, true
		} else if err != nil && starts.hasMade(result.Pull.ID) {
			result.Pull, result.Error = nil, asUserError(ctx, err, "start a pull")
		}
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

// logFailures logs one line for all pulls that could not be started. It leaves out mistakes of the client.
func (p *Pulls) logFailures(results []*pull.StartResult) {
	failures := slices.DeleteFunc(slices.Clone(results), func(r *pull.StartResult) bool {
		return r.Error == nil || !r.Error.IsFailure() || errors.Is(r.Error, context.Canceled) // the client has gone
	})
	if len(failures) > 0 {
		first := failures[0]
		p.logger.Warn("pulls could not be started", "pulls", len(failures), "image", first.Image, "error", first.Error)
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

// start makes the Job of a pull, or joins the pull of the same route that has not ended. It adds a new Job to starts. The caller then
// calls giveUpDuplicates.
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
	for n := firstNumber(now); ; n++ {
		name := jobName(r, n)
		known := p.known.Latest(name)
		if known != nil && known.Phase.Final() {
			continue // that pull has ended: take the next name
		}
		// Another replica may have made it since Running was asked.
		if known == nil {
			if err := starts.admit(name); err != nil {
				return nil, false, err
			}
			job, err := p.newJob(r, n, now)
			if err != nil {
				return nil, false, err
			}
			job, err = p.jobs.Create(ctx, job, metav1.CreateOptions{})
			if err == nil {
				starts.made = append(starts.made, job)
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

// newJob returns the Job of the n-th pull of a route. While the queue is paused, it says so from the beginning.
func (p *Pulls) newJob(r request, n int64, now time.Time) (*batchv1.Job, error) {
	job := r.job(p.prototype, n, now)
	if state, _ := p.role.lease.queue(); state.Paused != nil {
		notice, err := pullstate.Notice{Message: state.message(), Time: now.UTC()}.Annotation()
		if err != nil {
			return nil, err
		}
		metav1.SetMetaDataAnnotation(&job.ObjectMeta, pullstate.AnnotationNotice, notice)
	}
	return job, nil
}

// join returns the state of a pull if its Job exists, has not ended and was not deleted, nil otherwise.
func (p *Pulls) join(ctx context.Context, id string) (*pull.State, error) {
	job, err := p.jobs.Get(ctx, id, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if _, canceled := pullstate.Canceled(job); canceled || pullstate.Ended(job) || job.DeletionTimestamp != nil {
		return nil, nil
	}
	if state := p.known.Latest(id); state != nil {
		return state, nil
	}
	return p.publishFound(ctx, job)
}
