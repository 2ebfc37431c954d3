package render

import (
	"context"

	"github.com/99designs/gqlgen/graphql"

	"pullwatch/internal/podlog"
)

// AppendLogs writes a batch as a subscription wants it. It reports false if that is for gqlgen to do.
func AppendLogs(o *graphql.OperationContext, b []byte, batch *podlog.Batch) ([]byte, bool) {
	plan := newLogPlan(o)
	if plan == nil {
		return nil, false
	}
	return plan.append(b, batch), true
}

// Logs is the part of Operation that is for logs.
func (r *Renderer) Logs(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
	return r.subscription(ctx, next)
}
