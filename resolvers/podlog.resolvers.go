package resolvers

import (
	"context"
	"pullwatch/podlog"
)

func (r *subscriptionResolver) PodLogs(ctx context.Context, input podlog.Input) (<-chan *podlog.Batch, error) {
	logs, err := r.Logs.Stream(ctx, input)
	if err != nil {
		return nil, err
	}
	return pump(ctx, logs.Next, logs.Close), nil
}
