package resolvers

import (
	"context"
	"errors"
	"io"

	"github.com/99designs/gqlgen/graphql"

	"pullwatch/internal/serve/transport"
)

// pump sends what next returns to a channel, as gqlgen wants it, until next returns an error or ctx is done; then it
// calls stop and closes the channel. io.EOF is the end of the stream, any other error is sent to the subscriber.
func pump[T any](ctx context.Context, next func(context.Context) (T, error), stop func()) <-chan T {
	values := make(chan T)
	go func() {
		defer close(values)
		defer stop()
		defer func() {
			if panicked := recover(); panicked != nil {
				tell(ctx, graphql.Recover(ctx, panicked))
			}
		}()
		for {
			value, err := next(ctx)
			switch {
			case ctx.Err() != nil, errors.Is(err, io.EOF):
				return
			case err != nil:
				tell(ctx, err)
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

// tell makes a subscription end with an error, over whichever transport it came. gqlgen has the error presented.
func tell(ctx context.Context, err error) {
	ctx = graphql.WithFreshResponseContext(ctx)
	graphql.AddError(ctx, err)
	for _, presented := range graphql.GetErrors(ctx) {
		transport.AddSubscriptionError(ctx, presented)
	}
}

// one returns a channel with a single value, which is not closed: who asks for one value takes no other.
func one[T any](value T) <-chan T {
	values := make(chan T, 1)
	values <- value
	return values
}
