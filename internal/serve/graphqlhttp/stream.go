package graphqlhttp

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"pullwatch/internal/budget"
	"pullwatch/internal/serve/transport"
)

// stream is a response that is sent in pieces, one for each result.
type stream struct {
	exchange   *exchange
	format     format
	controller *http.ResponseController
	// cancel ends the operation, and with it the stream.
	cancel context.CancelFunc
	// broken means that nothing can be written any more: a write has failed, or Drain has cut the stream off.
	broken atomic.Bool

	mu    sync.Mutex // held while something is written
	ended bool
	wrote time.Time // the last write
	// silence fires when a sign of life may be due. firing is held until it has fired or has been stopped.
	silence *time.Timer
	firing  sync.WaitGroup
}

// stream runs an operation and sends its results in a format. It returns when the operation has ended, or why it is refused.
func (e *exchange) stream(ctx context.Context, f format, o *operation, start dispatch) *refusal {
	if !e.pageAllowed() {
		return e.refusePage()
	}
	if err := e.memory.Take(budget.Operations, streamMemory); err != nil {
		return noMemory(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &stream{exchange: e, format: f, controller: http.NewResponseController(e.w), cancel: cancel}
	caller := e.transport.options.Caller(e.r)
	if refused := e.transport.admit(caller); refused != nil {
		return refused
	}
	defer e.transport.release(s, caller)
	if e.transport.streams.Add(s) {
		cancel()
	}
	if s.begin() {
		s.run(ctx, o, start)
	}
	s.end()
	return nil
}

// streamMemory is what a stream takes in addition to its connection, in bytes: the goroutines that wait for its results.
const streamMemory = 16 << 10

// begin sends the header and the first bytes of the body, for which some clients and proxies wait.
func (s *stream) begin() bool {
	header := s.exchange.w.Header()
	header.Set("Content-Type", s.format.contentType())
	header["Cache-Control"] = neverCache
	header.Set("X-Accel-Buffering", "no") // otherwise nginx buffers the stream
	header.Add("Vary", vary)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.write(s.format.beginning()) {
		return false
	}
	s.firing.Add(1)
	s.silence = time.AfterFunc(s.longestSilence(), s.keepAlive)
	return true
}

// run executes the operation, sends its results, and says why the stream ends.
func (s *stream) run(ctx context.Context, o *operation, start dispatch) {
	failed, ended := s.sendResults(ctx, o, start)
	switch {
	case !ended:
		s.interrupt()
	case failed == nil:
		s.sendEvent(s.format.ending(false))
	default:
		again := isTemporary(failed.Errors)
		if s.sendText(s.format.appendFailure(nil, failed, again), 0) {
			s.sendEvent(s.format.ending(again))
		}
	}
}

// sendResults executes the operation and sends its results. It reports whether the operation has ended. If it has failed,
// failed says why, which has not been sent.
func (s *stream) sendResults(ctx context.Context, o *operation, start dispatch) (failed *graphql.Response, ended bool) {
	var responses graphql.ResponseHandler
	response := s.exchange.guard(ctx, func() *graphql.Response {
		responses, ctx = start(ctx)
		return responses(ctx)
	})
	for response != nil && ctx.Err() == nil {
		// Without data, not even null, the request failed before it was executed.
		if len(response.Data) == 0 && len(response.Errors) > 0 {
			return response, true
		}
		if !s.sendResult(response, o.takeEventID()) {
			return nil, false
		}
		deferred := response.HasNext != nil && *response.HasNext
		if len(response.Data) == 0 || !o.continues && !deferred {
			break
		}
		response = s.exchange.guard(ctx, func() *graphql.Response { return responses(ctx) })
	}
	if errs := o.Errors(); len(errs) > 0 {
		failed = &graphql.Response{Errors: errs}
	}
	return failed, ctx.Err() == nil
}

// sendResult sends a result. It reports whether the stream goes on.
func (s *stream) sendResult(response *graphql.Response, id string) bool {
	text := takeBuffer()
	defer text.put()
	text.bytes = s.format.appendResult(text.bytes, response, id)
	return s.sendText(text.bytes, len(response.Data))
}

// sendText sends text that was made from that many bytes of data. It reports whether the stream goes on.
func (s *stream) sendText(text []byte, data int) bool {
	if s.exchange.memory.Set(budget.Responses, len(text)+data) != nil {
		return false
	}
	return s.sendEvent(transport.ValidUTF8(text))
}

// interrupt ends a stream whose operation has not ended, so that the client subscribes again.
func (s *stream) interrupt() {
	if text := s.format.interruption(); len(text) > 0 && s.exchange.r.Context().Err() == nil {
		s.sendEvent(text)
	}
}

func (s *stream) sendEvent(event []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	began := time.Now()
	if !s.write(event) {
		return false
	}
	s.exchange.transport.options.Observer.Sent(len(event), s.wrote.Sub(began))
	return true
}

// write writes text and flushes. If that fails, it ends the operation and reports false. s.mu must be held.
func (s *stream) write(text []byte) bool {
	err := s.controller.SetWriteDeadline(time.Now().Add(s.exchange.transport.options.WriteTimeout))
	if s.broken.Load() { // read after the deadline was set: cutOff may have set an earlier one before
		return false
	}
	if err == nil {
		_, err = s.exchange.w.Write(text)
	}
	if err == nil {
		err = s.controller.Flush()
	}
	if err != nil {
		s.broken.Store(true)
		s.cancel()
		return false
	}
	s.wrote = time.Now()
	return true
}

// cutOff makes a write that waits for the client fail, and all later ones.
func (s *stream) cutOff() {
	s.broken.Store(true)
	_ = s.controller.SetWriteDeadline(time.Unix(1, 0)) // a connection that is gone needs no deadline
}

// longestSilence is how long nothing may be sent.
func (s *stream) longestSilence() time.Duration {
	return min(s.exchange.transport.options.KeepAlive, s.format.longestSilence())
}

// keepAlive sends a sign of life if nothing was sent for longestSilence. It is called by silence, which it sets again.
func (s *stream) keepAlive() {
	defer s.firing.Done()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	next := s.longestSilence() - time.Since(s.wrote)
	if next <= 0 {
		if !s.write(s.format.signOfLife()) {
			return
		}
		next = s.longestSilence()
	}
	s.firing.Add(1)
	s.silence.Reset(next)
}

// end waits until nobody uses the ResponseWriter any more.
func (s *stream) end() {
	s.mu.Lock()
	s.ended = true
	if s.silence != nil && s.silence.Stop() {
		s.firing.Done()
	}
	// The http.Server still has to send the last chunk. After a failed write it sends nothing.
	_ = s.controller.SetWriteDeadline(time.Now().Add(s.exchange.transport.options.WriteTimeout))
	s.mu.Unlock()
	s.firing.Wait()
}
