package resolvers

import (
	"context"
	"pullwatch/graph"
	"pullwatch/internal/caller"
	"pullwatch/internal/feed"
	"pullwatch/internal/podlog"
	"pullwatch/internal/pull"
	"pullwatch/internal/serve/render"
	"pullwatch/internal/usererr"
)

func (r *mutationResolver) StartPulls(ctx context.Context, input pull.StartRequest) (*graph.StartPullsPayload, error) {
	results, err := r.Pulls.Start(ctx, input)
	for _, result := range results {
		r.require(result.Pull)
	}
	return &graph.StartPullsPayload{Results: results}, err
}

func (r *mutationResolver) CancelPull(ctx context.Context, id string) (*pull.State, error) {
	state, err := r.Pulls.Cancel(ctx, id)
	return r.require(state), err
}

func (r *mutationResolver) RetryPull(ctx context.Context, id string) (*pull.State, error) {
	state, err := r.Pulls.Retry(ctx, id)
	return r.require(state), err
}

func (r *mutationResolver) HoldPull(ctx context.Context, id string) (*pull.State, error) {
	state, err := r.Pulls.Hold(ctx, id)
	return r.require(state), err
}

func (r *mutationResolver) ReleasePull(ctx context.Context, id string) (*pull.State, error) {
	state, err := r.Pulls.Release(ctx, id)
	return r.require(state), err
}

func (r *mutationResolver) PauseQueue(ctx context.Context, reason string) (*pull.Queue, error) {
	return r.Pulls.PauseQueue(ctx, reason)
}

func (r *mutationResolver) ResumeQueue(ctx context.Context) (*pull.Queue, error) {
	return r.Pulls.ResumeQueue(ctx)
}

func (r *queryResolver) ActivePulls(ctx context.Context) ([]*pull.State, error) {
	result, err := render.Active(ctx, r.Lists)
	return result.States, err
}

func (r *queryResolver) FailedPulls(ctx context.Context, limit *int) ([]*pull.State, error) {
	if *limit < 1 || *limit > maxFailed {
		return nil, usererr.New(usererr.BadInput, "limit is %d; it must be 1 to %d", *limit, maxFailed)
	}
	result, err := render.Failed(ctx, r.Lists, *limit)
	return result.States, err
}

func (r *queryResolver) PullJob(ctx context.Context, id string) (*pull.State, error) {
	return r.find(ctx, id)
}

func (r *queryResolver) Queue(ctx context.Context) (*pull.Queue, error) {
	return r.Pulls.Queue(ctx)
}

func (r *subscriptionResolver) PullJobUpdated(ctx context.Context, ids []string, after *string, phases []pull.Phase, history *bool) (<-chan *pull.State, error) {
	return render.Updates(ctx, func() (*feed.Subscription, error) {
		return r.subscribe(ctx, ids, resumeAfter(ctx, after), phases, *history)
	})
}

func (r *subscriptionResolver) PodLogs(ctx context.Context, input podlog.Input) (<-chan *podlog.Batch, error) {
	input.Caller = caller.From(ctx).Address
	input.After = resumeAfter(ctx, input.After)
	logs, err := r.Logs.Stream(ctx, input)
	if err != nil {
		return nil, err
	}
	return render.Logs(ctx, logs), nil
}

func (r *Resolver) Mutation() graph.MutationResolver { return &mutationResolver{r} }

func (r *Resolver) Query() graph.QueryResolver { return &queryResolver{r} }

func (r *Resolver) Subscription() graph.SubscriptionResolver { return &subscriptionResolver{r} }

type (
	mutationResolver     struct{ *Resolver }
	queryResolver        struct{ *Resolver }
	subscriptionResolver struct{ *Resolver }
)
