package render

import (
	"context"
	"sync"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"pullwatch/internal/feed"
	"pullwatch/internal/pull"
	"pullwatch/internal/serve/graphqlws"
)

type handoverKey struct{}

// handover is where a resolver leaves its subscription for the Renderer.
type handover struct{ feed *feed.Subscription }

// Take takes a subscription from the resolver that ctx belongs to, which then returns no channel. It reports false, and
// leaves the subscription to the resolver, if no Renderer asks for it.
func Take(ctx context.Context, updates *feed.Subscription) bool {
	place, ok := ctx.Value(handoverKey{}).(*handover)
	if ok {
		place.feed = updates
	}
	return ok
}

// State returns the one state that the resolver of a subscription is to send, and nothing else, if ctx is that of a Renderer
// which renders it.
func State(ctx context.Context) (*pull.Job, bool) {
	job, ok := ctx.Value(stateKey{}).(*pull.Job)
	return job, ok
}

// subscription hands a subscription to updates over to the transport, if it takes it, and renders what it reads.
func (r *Renderer) subscription(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
	var taken handover
	handler := next(context.WithValue(ctx, handoverKey{}, &taken))
	if taken.feed == nil {
		return handler
	}
	f, err := formOf(graphql.GetOperationContext(ctx))
	if err == nil {
		f, err = r.updates.join(f)
	}
	if err != nil {
		taken.feed.Close()
		return graphql.OneShot(&graphql.Response{Errors: gqlerror.List{r.options.PresentError(ctx, err)}})
	}
	s := &source{renderer: r, form: f, feed: taken.feed}
	if !graphqlws.Push(ctx, s) {
		context.AfterFunc(ctx, s.Close)
	}
	return s.await
}

// source is a subscription to updates. It is a graphqlws.Source.
type source struct {
	renderer *Renderer
	form     *form
	feed     *feed.Subscription
	close    sync.Once
}

// Start implements graphqlws.Source, as do Next and Close.
func (s *source) Start(ready func()) { s.feed.Notify(ready) }

func (s *source) Next() (*graphql.Response, error) {
	job, err := s.feed.Next()
	if job == nil || err != nil {
		return nil, err
	}
	return s.renderer.update(s.form, job), nil
}

func (s *source) Close() {
	s.close.Do(func() {
		s.feed.Close()
		s.renderer.updates.leave(s.form)
	})
}

// await is a graphql.ResponseHandler, for transports that wait.
func (s *source) await(ctx context.Context) *graphql.Response {
	job, err := s.feed.Await(ctx)
	if err != nil {
		s.Close()
		return nil
	}
	return s.renderer.update(s.form, job)
}
