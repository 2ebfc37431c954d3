package graphqlhttp

import (
	"context"
	"time"
)

// admit counts a stream, or returns why there may not be another.
func (t *Transport) admit(address string) *refusal {
	if refused := t.streams.Admit(address); refused != nil {
		return &refusal{status: refused.Status, code: refused.Code, message: refused.Error()}
	}
	t.options.Observer.StreamOpened()
	return nil
}

func (t *Transport) release(s *stream, address string) {
	t.streams.Remove(s)
	t.streams.Release(address, t.options.Observer.StreamClosed)
}

// Drain accepts no more streams, ends those that there are, evenly spread over at most the given time so that their
// clients do not all come back at once, and returns when all are gone. They end without a complete event, which makes
// their clients come back. Other requests go on; http.Server.Shutdown waits for them.
//
// When ctx is done, what is left is cut off at once, and Drain returns an error that says so as soon as resolvers have
// noticed that their contexts have ended.
func (t *Transport) Drain(ctx context.Context, over time.Duration) error {
	return t.streams.Drain(ctx, over,
		func(s *stream) { s.cancel() },
		// A connection that is gone needs no deadline.
		func(s *stream) { _ = s.controller.SetWriteDeadline(time.Unix(1, 0)) },
		func() {})
}
