package render

import (
	"context"
	"sync"

	"github.com/99designs/gqlgen/graphql"

	"pullwatch/internal/podlog"
)

type logsKey struct{}

// logHandover is where a resolver leaves its stream of logs for the Renderer.
type logHandover struct{ batches <-chan *podlog.Batch }

// TakeLogs takes what the resolver that ctx belongs to would return, which then returns no channel. It reports false if
// no Renderer asks for it.
func TakeLogs(ctx context.Context, batches <-chan *podlog.Batch) bool {
	place, ok := ctx.Value(logsKey{}).(*logHandover)
	if ok {
		place.batches = batches
	}
	return ok
}

// logs writes what a subscription to logs gets, unless that is for gqlgen to do.
func (r *Renderer) logs(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
	plan := newLogPlan(graphql.GetOperationContext(ctx))
	if plan == nil {
		return next(ctx)
	}
	var taken logHandover
	handler := next(context.WithValue(ctx, logsKey{}, &taken))
	if taken.batches == nil {
		return handler
	}
	return (&logWriter{plan: plan, batches: taken.batches}).await
}

// logWriter writes the batches of one subscription.
type logWriter struct {
	plan    *logPlan
	batches <-chan *podlog.Batch
	// buffer holds the last response until the next one is asked for.
	buffer *[]byte
}

// logBuffers keeps buffers, so that subscriptions which wait have none.
var logBuffers = sync.Pool{New: func() any { return new([]byte) }}

// keptBuffer is the largest buffer that is kept, in bytes: batches are shorter, unless fields are asked for many times.
const keptBuffer = 1 << 20

// await is a graphql.ResponseHandler. What it returns is read before it is called again.
func (w *logWriter) await(ctx context.Context) *graphql.Response {
	if w.buffer != nil {
		if cap(*w.buffer) <= keptBuffer {
			logBuffers.Put(w.buffer)
		}
		w.buffer = nil
	}
	select {
	case batch, ok := <-w.batches:
		if !ok {
			return nil
		}
		w.buffer = logBuffers.Get().(*[]byte)
		*w.buffer = w.plan.append((*w.buffer)[:0], batch)
		return &graphql.Response{Data: *w.buffer}
	case <-ctx.Done():
		return nil
	}
}
