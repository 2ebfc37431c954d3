package resolvers

import (
	"context"
	"pullwatch/graph"
	"pullwatch/pull"
	"pullwatch/usererr"
)

func (r *mutationResolver) StartPulls(ctx context.Context, input graph.StartPullsInput) (*graph.StartPullsPayload, error) {
	defer r.Lists.Invalidate()
	results, err := r.Pulls.Start(ctx, input.Images, input.Destination)
	return &graph.StartPullsPayload{Results: results}, err
}

func (r *mutationResolver) CancelPull(ctx context.Context, id string) (*pull.Job, error) {
	defer r.Lists.Invalidate()
	return r.Pulls.Cancel(ctx, id)
}

func (r *mutationResolver) RetryPull(ctx context.Context, id string) (*pull.Job, error) {
	defer r.Lists.Invalidate()
	return r.Pulls.Retry(ctx, id)
}

func (r *queryResolver) ActivePulls(ctx context.Context) ([]*pull.Job, error) {
	return r.Lists.Active(ctx)
}

func (r *queryResolver) FailedPulls(ctx context.Context, limit int) ([]*pull.Job, error) {
	if limit < 1 || limit > maxFailed {
		return nil, usererr.New(usererr.BadInput, "limit is %d; it must be 1 to %d", limit, maxFailed)
	}
	return r.Lists.Failed(ctx, limit)
}

func (r *queryResolver) PullJob(ctx context.Context, id string) (*pull.Job, error) {
	if err := r.Sync.AwaitSync(ctx); err != nil {
		return nil, err
	}
	return r.Updates.Latest(id), nil
}

func (r *subscriptionResolver) PullJobUpdated(ctx context.Context, ids []string) (<-chan *pull.Job, error) {
	// A client that reconnects while the server starts must not be told that its pulls do not exist.
	if err := r.Sync.AwaitSync(ctx); err != nil {
		return nil, err
	}
	updates, err := r.Updates.Subscribe(ids)
	if err != nil {
		return nil, err
	}
	return pump(ctx, updates.Next, updates.Close), nil
}

func (r *Resolver) Mutation() graph.MutationResolver { return &mutationResolver{r} }

func (r *Resolver) Query() graph.QueryResolver { return &queryResolver{r} }

func (r *Resolver) Subscription() graph.SubscriptionResolver { return &subscriptionResolver{r} }

type (
	mutationResolver     struct{ *Resolver }
	queryResolver        struct{ *Resolver }
	subscriptionResolver struct{ *Resolver }
)
