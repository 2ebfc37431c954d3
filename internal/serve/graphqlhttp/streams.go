package graphqlhttp

import (
	"context"
	"time"
)

// admit counts a stream for its caller, or returns why it is refused.
func (t *Transport) admit(caller string) *refusal {
	if refused := t.streams.Admit(caller); refused != nil {
		return &refusal{status: refused.Status, code: refused.Code, message: refused.Error()}
	}
	t.options.Observer.StreamOpened()
	return nil
}

func (t *Transport) release(s *stream, caller string) {
	t.streams.Remove(s)
	t.streams.Release(caller, t.options.Observer.StreamClosed)
}

// Drain refuses new streams and ends all others. They are interrupted, so that their clients connect again. It
// spreads the ends evenly over at most the given time, so that not all clients connect at once. It returns when all streams
// have ended. Other requests go on: http.Server.Shutdown waits for them.
//
// When ctx is done, Drain cuts off the streams that are left, waits until their resolvers have returned, and returns ctx's
// cause.
func (t *Transport) Drain(ctx context.Context, over time.Duration) error {
	return t.streams.Drain(ctx, over,
		func(s *stream) { s.cancel() },
		(*stream).cutOff,
		func() {})
}
