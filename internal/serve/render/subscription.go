package render

import (
	"context"
	"sync"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"pullwatch/internal/feed"
	"pullwatch/internal/serve/graphqlws"
)

// subscription takes over what a subscription's resolver opens, if there is a faster way to write it than gqlgen's.
func (r *Renderer) subscription(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
	plan := newLogPlan(graphql.GetOperationContext(ctx))
	taken := handover{takesLogs: plan != nil}
	handler := next(context.WithValue(ctx, handoverKey{}, &taken))
	switch {
	case taken.updates != nil:
		return r.push(ctx, taken.updates)
	case taken.logs != nil:
		return (&logWriter{plan: plan, batches: taken.logs}).await
	}
	return handler
}

// push hands updates over to the transport, if it takes them, and renders what it reads.
func (r *Renderer) push(ctx context.Context, updates *feed.Subscription) graphql.ResponseHandler {
	f, err := shareOperation(graphql.GetOperationContext(ctx))
	if err == nil {
		f, err = r.updates.join(f)
	}
	if err != nil {
		updates.Close()
		return graphql.OneShot(&graphql.Response{Errors: gqlerror.List{r.options.PresentError(ctx, err)}})
	}
	s := &rendered{renderer: r, operation: f, feed: updates}
	if !graphqlws.Push(ctx, s) {
		context.AfterFunc(ctx, s.Close)
	}
	return s.await
}

// rendered is a subscription to updates. It is a graphqlws.Source.
type rendered struct {
	renderer  *Renderer
	operation *sharedOperation
	feed      *feed.Subscription
	close     sync.Once
}

// Start implements graphqlws.Source, as do Next and Close.
func (s *rendered) Start(ready func()) { s.feed.Notify(ready) }

func (s *rendered) Next() (*graphql.Response, error) {
	job, err := s.feed.Next()
	if job == nil || err != nil {
		return nil, err
	}
	return s.renderer.update(s.operation, job), nil
}

func (s *rendered) Close() {
	s.close.Do(func() {
		s.feed.Close()
		s.renderer.updates.leave(s.operation)
	})
}

// await is a graphql.ResponseHandler, for transports that wait.
func (s *rendered) await(ctx context.Context) *graphql.Response {
	job, err := s.feed.Await(ctx)
	if err != nil {
		s.Close()
		return nil
	}
	return s.renderer.update(s.operation, job)
}
