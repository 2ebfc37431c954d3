package render

import (
	"context"

	"github.com/99designs/gqlgen/graphql"

	"pullwatch/internal/podlog"
)

// AppendLogs writes a batch for a subscription. It reports false if gqlgen has to write it.
func AppendLogs(o *graphql.OperationContext, b []byte, batch *podlog.Batch) ([]byte, bool) {
	plan := newLogPlan(o)
	if plan == nil {
		return nil, false
	}
	return plan.append(b, batch), true
}

// Logs is the part of Operation for logs.
func (r *Renderer) Logs(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
	return r.subscription(ctx, next)
}
