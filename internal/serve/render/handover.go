package render

import (
	"context"
	"errors"
	"io"

	"github.com/99designs/gqlgen/graphql"

	"pullwatch/internal/feed"
	"pullwatch/internal/podlog"
	"pullwatch/internal/pull"
	"pullwatch/internal/serve/transport"
)

// source is what a subscription's results come from. Next waits, and returns io.EOF at the end. Close may be called more
// than once.
type source[T any] interface {
	Next(context.Context) (T, error)
	Close()
}

type handoverKey struct{}

// handover is where a resolver leaves its source for the Renderer.
type handover struct {
	takesLogs bool
	updates   *feed.Subscription
	logs      <-chan *podlog.Batch
}

// Updates returns what the resolver of a subscription to updates returns, which has opened them: nil if the Renderer
// that executes the operation takes them over, a channel otherwise. It closes updates in the end.
func Updates(ctx context.Context, open func() (*feed.Subscription, error)) (<-chan *pull.State, error) {
	if state, ok := ctx.Value(stateKey{}).(*pull.State); ok { // which a Renderer renders: the only one, and nothing is opened
		return one(state), nil
	}
	updates, err := open()
	if err != nil {
		return nil, err
	}
	if h, ok := ctx.Value(handoverKey{}).(*handover); ok {
		h.updates = updates
		return nil, nil
	}
	return pump(ctx, waiting{updates}), nil
}

// Logs is Updates for the resolver of a subscription to logs. The next batch is made while the last one is written.
func Logs(ctx context.Context, logs source[*podlog.Batch]) <-chan *podlog.Batch {
	batches := pump(ctx, logs)
	if h, ok := ctx.Value(handoverKey{}).(*handover); ok && h.takesLogs {
		h.logs = batches
		return nil
	}
	return batches
}

// waiting is a subscription to updates as a source.
type waiting struct{ *feed.Subscription }

func (w waiting) Next(ctx context.Context) (*pull.State, error) { return w.Await(ctx) }

// one returns a channel with a single value, which is not closed: who asks for one value takes no other.
func one[T any](value T) <-chan T {
	values := make(chan T, 1)
	values <- value
	return values
}

// pump sends what a source has to a channel, as gqlgen wants it, until the source ends or ctx is done. Then it closes the
// source and the channel.
func pump[T any](ctx context.Context, s source[T]) <-chan T {
	values := make(chan T)
	go func() {
		defer close(values)
		defer s.Close()
		defer func() {
			if panicked := recover(); panicked != nil {
				report(ctx, graphql.Recover(ctx, panicked))
			}
		}()
		for {
			value, err := s.Next(ctx)
			if err != nil {
				report(ctx, err)
				return
			}
			select {
			case values <- value:
			case <-ctx.Done():
				return
			}
		}
	}()
	return values
}

// report makes a subscription end with the error of its source, unless that is its end or the context's. gqlgen has the
// error presented.
func report(ctx context.Context, err error) {
	if ctx.Err() != nil || errors.Is(err, io.EOF) {
		return
	}
	ctx = graphql.WithFreshResponseContext(ctx)
	graphql.AddError(ctx, err)
	for _, presented := range graphql.GetErrors(ctx) {
		transport.AddSubscriptionError(ctx, presented)
	}
}
