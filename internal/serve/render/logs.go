package render

import (
	"context"
	"sync"

	"github.com/99designs/gqlgen/graphql"

	"pullwatch/internal/podlog"
	"pullwatch/internal/serve/graphqlhttp"
)

// logWriter writes the batches of one subscription.
type logWriter struct {
	plan    *logPlan
	batches <-chan *podlog.Batch
	// buffer holds the last response until the next one is asked for.
	buffer *[]byte
}

// logBuffers keeps buffers, so that a subscription has none while it waits.
var logBuffers = sync.Pool{New: func() any { return new([]byte) }}

// keptBuffer is the largest buffer that goes back to the pool, in bytes. Batches are shorter, unless the operation selects
// fields many times.
const keptBuffer = 1 << 20

// await is a graphql.ResponseHandler. Its response is valid until it is called again.
func (w *logWriter) await(ctx context.Context) *graphql.Response {
	if w.buffer != nil {
		if cap(*w.buffer) <= keptBuffer {
			logBuffers.Put(w.buffer)
		}
		w.buffer = nil
	}
	batch, more := <-w.batches // closed when ctx is done
	if !more {
		return nil
	}
	w.buffer = logBuffers.Get().(*[]byte)
	*w.buffer = w.plan.append((*w.buffer)[:0], batch)
	graphqlhttp.SetEventID(ctx, batch.Cursor)
	return &graphql.Response{Data: *w.buffer}
}
