package graphqlhttp

import (
	"context"
	"net/http"
	"time"
)

// admit counts a stream, or returns why there may not be another.
func (t *Transport) admit(s *stream, address string) *refusal {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.draining:
		return &refusal{
			status: http.StatusServiceUnavailable, code: codeUnavailable,
			message: "the server is stopping; try again in a moment",
		}
	case len(t.streams) >= t.options.MaxStreams:
		return &refusal{
			status: http.StatusServiceUnavailable, code: codeLimitExceeded,
			message: "the server has as many streams as it takes; try again later",
		}
	case t.addresses[address] >= t.options.MaxStreamsPerAddress:
		return &refusal{
			status: http.StatusTooManyRequests, code: codeLimitExceeded,
			message: "there are too many streams from your address; close one first",
		}
	}
	t.streams[s] = struct{}{}
	t.addresses[address]++
	t.serving.Add(1)
	t.options.Observer.StreamOpened()
	return nil
}

func (t *Transport) release(s *stream, address string) {
	t.mu.Lock()
	delete(t.streams, s)
	if t.addresses[address]--; t.addresses[address] == 0 {
		delete(t.addresses, address)
	}
	t.mu.Unlock()
	t.options.Observer.StreamClosed()
	t.serving.Done()
}

// widestGap is how far apart Drain ends streams when there are few: a hundred a second do no harm when they come back.
const widestGap = 10 * time.Millisecond

// Drain accepts no more streams, ends those that there are, evenly spread over at most the given time so that their
// clients do not all come back at once, and returns when all are gone. They end without a complete event, which makes
// their clients come back. Other requests go on; http.Server.Shutdown waits for them.
//
// When ctx is done, what is left is cut off at once, and Drain returns an error that says so as soon as resolvers have
// noticed that their contexts have ended.
func (t *Transport) Drain(ctx context.Context, over time.Duration) error {
	t.mu.Lock()
	t.draining = true
	streams := make([]*stream, 0, len(t.streams))
	for s := range t.streams {
		streams = append(streams, s)
	}
	t.mu.Unlock()

	begun := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i, s := range streams {
		timer.Reset(time.Until(begun.Add(time.Duration(i) * min(over/time.Duration(len(streams)), widestGap))))
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		s.cancel()
	}

	gone := make(chan struct{})
	go func() {
		t.serving.Wait()
		close(gone)
	}()
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	for s := range t.streams {
		_ = s.controller.SetWriteDeadline(time.Unix(1, 0))
	}
	t.mu.Unlock()
	<-gone
	return context.Cause(ctx)
}
