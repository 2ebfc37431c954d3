package render

import (
	"context"
	"sync"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"pullwatch/internal/feed"
	"pullwatch/internal/serve/graphqlhttp"
	"pullwatch/internal/serve/graphqlws"
)

// subscription executes a subscription. It takes updates and logs over from the resolver, and writes them without gqlgen.
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

// push lets the transport pull updates, if it supports that (graphqlws.Push). Otherwise the returned handler waits for them.
func (r *Renderer) push(ctx context.Context, updates *feed.Subscription) graphql.ResponseHandler {
	operation, err := newSharedOperation(graphql.GetOperationContext(ctx))
	if err == nil {
		operation, err = r.updates.join(operation)
	}
	if err != nil {
		updates.Close()
		return graphql.OneShot(&graphql.Response{Errors: gqlerror.List{r.options.PresentError(ctx, err)}})
	}
	s := &updateSource{renderer: r, operation: operation, feed: updates}
	if !graphqlws.Push(ctx, s) {
		context.AfterFunc(ctx, s.Close)
	}
	return s.await
}

// updateSource renders the updates of one subscription. It is a graphqlws.Source.
type updateSource struct {
	renderer  *Renderer
	operation *sharedOperation
	feed      *feed.Subscription
	close     sync.Once
}

// Start implements graphqlws.Source, as do Next and Close.
func (s *updateSource) Start(ready func()) { s.feed.Notify(ready) }

func (s *updateSource) Next() (*graphql.Response, error) {
	state, err := s.feed.Next()
	if state == nil || err != nil {
		return nil, err
	}
	return s.renderer.update(s.operation, state).response, nil
}

func (s *updateSource) Close() {
	s.close.Do(func() {
		s.feed.Close()
		s.renderer.updates.leave(s.operation)
	})
}

// await is a graphql.ResponseHandler, for transports that wait.
func (s *updateSource) await(ctx context.Context) *graphql.Response {
	state, err := s.feed.Await(ctx)
	if err != nil {
		s.Close()
		return nil
	}
	u := s.renderer.update(s.operation, state)
	graphqlhttp.SetEventID(ctx, u.revision)
	return u.response
}
