package resolvers

import (
	"context"
	"pullwatch/internal/caller"
	"pullwatch/internal/podlog"
	"pullwatch/internal/serve/render"
)

func (r *subscriptionResolver) PodLogs(ctx context.Context, input podlog.Input) (<-chan *podlog.Batch, error) {
	input.Caller = caller.From(ctx).Address
	logs, err := r.Logs.Stream(ctx, input)
	if err != nil {
		return nil, err
	}
	batches := pump(ctx, logs.Next, logs.Close)
	if render.TakeLogs(ctx, batches) {
		return nil, nil
	}
	return batches, nil
}
