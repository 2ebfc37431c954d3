package kube

import (
	"context"

	"pullwatch/internal/pull"
	"pullwatch/internal/usererr"
	"pullwatch/kube/pullstate"
)

// Retry starts a failed pull again, as a new pull: a Job of its own, with the next name of the same route (jobname.go) and an
// annotation that names the failed one. It returns the new pull. If a pull of the same route has not ended, it returns that one,
// so retrying twice starts one pull.
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
	failed, err := pullstate.Identify(job)
	if err != nil {
		return nil, usererr.New(usererr.NotFound, "there is no pull %q", id)
	}
	if known := p.known.Latest(id); !pullstate.Failed(job) && (known == nil || !known.Lost()) {
		return nil, usererr.New(usererr.Conflict, "pull %s has not failed; only a failed pull can be retried", id)
	}
	starts := &starts{admission: p.admission}
	defer starts.end()
	var state *pull.State
	err = inTurn(ctx, p.starting, func() (err error) {
		state, _, err = p.start(ctx, request{image: failed.Image, destination: failed.Destination, platforms: failed.Platforms, retryOf: &id}, starts)
		return err
	})
	if err != nil {
		return nil, err
	}
	goOn, err := p.giveUpDuplicates(ctx, starts)
	if err != nil {
		return nil, err
	}
	if earlier := goOn[state.ID]; earlier != nil {
		state = earlier
	}
	p.known.Flush(ctx)
	return p.newest(state), nil
}
