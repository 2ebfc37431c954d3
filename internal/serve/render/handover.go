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

// source has the results of a subscription. Next waits for one, and returns io.EOF at the end. Close may be called more
// than once.
type source[T any] interface {
	Next(context.Context) (T, error)
	Close()
}

type handoverKey struct{}

// handover is where a resolver leaves what it has opened for the Renderer.
type handover struct {
	takesLogs bool
	updates   *feed.Subscription
	logs      <-chan *podlog.Batch
}

// Updates opens a subscription to updates. It returns the channel that the resolver returns, which is nil if a Renderer takes
// the subscription over. The subscription is closed when it has ended.
func Updates(ctx context.Context, open func() (*feed.Subscription, error)) (<-chan *pull.State, error) {
	if state, ok := ctx.Value(stateKey{}).(*pull.State); ok { // a Renderer renders this state: nothing is opened
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
	return pump(ctx, updateWaiter{updates}), nil
}

// Logs is Updates for the resolver of a subscription to logs. It makes the next batch while the last one is written.
func Logs(ctx context.Context, logs source[*podlog.Batch]) <-chan *podlog.Batch {
	batches := pump(ctx, logs)
	if h, ok := ctx.Value(handoverKey{}).(*handover); ok && h.takesLogs {
		h.logs = batches
		return nil
	}
	return batches
}

// updateWaiter is a subscription to updates as a source.
type updateWaiter struct{ *feed.Subscription }

func (w updateWaiter) Next(ctx context.Context) (*pull.State, error) { return w.Await(ctx) }

// one returns a channel with a single value. It does not close the channel, because nobody receives twice.
func one[T any](value T) <-chan T {
	values := make(chan T, 1)
	values <- value
	return values
}

// pump sends the results of a source to the channel that gqlgen wants, until the source ends or ctx is done. Then it closes
// the source and the channel.
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

// report makes a subscription end with an error of its source, as gqlgen presents it. It ignores io.EOF, and all errors after
// ctx is done.
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
