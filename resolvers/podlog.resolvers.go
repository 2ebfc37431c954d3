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
	return render.Logs(ctx, logs), nil
}
