package graphqlhttp

import (
	"bytes"
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"pullwatch/internal/budget"
	"pullwatch/internal/serve/transport"
)

// stream is a response of server-sent events.
type stream struct {
	exchange   *exchange
	controller *http.ResponseController
	// cancel ends the operation, and with it the stream.
	cancel context.CancelFunc

	mu    sync.Mutex // held while something is written
	ended bool
	wrote time.Time // the last write
	// silence fires when a comment may be due. firing is held until it has fired or has been stopped.
	silence *time.Timer
	firing  sync.WaitGroup
}

// stream runs an operation and sends its results as events. It returns when the operation has ended, or why it is refused.
func (e *exchange) stream(ctx context.Context, o *operation, start dispatch) *refusal {
	if !e.pageAllowed() {
		return e.refusePage()
	}
	if err := e.memory.Take(budget.Operations, streamMemory); err != nil {
		return noMemory(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &stream{exchange: e, controller: http.NewResponseController(e.w), cancel: cancel}
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

// begin sends the header.
func (s *stream) begin() bool {
	header := s.exchange.w.Header()
	header.Set("Content-Type", typeEvents+"; charset=utf-8")
	header["Cache-Control"] = neverCache
	header.Set("X-Accel-Buffering", "no") // otherwise nginx buffers events
	header.Add("Vary", vary)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.write(nil) {
		return false
	}
	s.firing.Add(1)
	s.silence = time.AfterFunc(s.exchange.transport.options.KeepAlive, s.keepAlive)
	return true
}

// run executes the operation and sends its results.
func (s *stream) run(ctx context.Context, o *operation, start dispatch) {
	var responses graphql.ResponseHandler
	response := s.exchange.guard(ctx, func() *graphql.Response {
		responses, ctx = start(ctx)
		return responses(ctx)
	})
	for response != nil && ctx.Err() == nil {
		if !s.send(response) {
			return
		}
		deferred := response.HasNext != nil && *response.HasNext
		// Without data, not even null, the request failed before it was executed.
		if len(response.Data) == 0 || !o.continues && !deferred {
			break
		}
		response = s.exchange.guard(ctx, func() *graphql.Response { return responses(ctx) })
	}
	if ctx.Err() != nil {
		return // without complete, so that the client connects again
	}
	if errs := o.Errors(); len(errs) > 0 && !s.send(&graphql.Response{Errors: errs}) {
		return
	}
	s.sendEvent([]byte("event: complete\ndata:\n\n"))
}

// send sends a result. It reports whether the stream goes on.
func (s *stream) send(response *graphql.Response) bool {
	text := takeBuffer()
	defer text.put()
	const prefix = "event: next\ndata: "
	text.bytes = appendResponse(append(text.bytes, prefix...), response)
	replaceLineEnds(text.bytes[len(prefix):])
	text.bytes = append(text.bytes, "\n\n"...)
	if s.exchange.memory.Set(budget.Responses, len(text.bytes)+len(response.Data)) != nil {
		return false // without complete, so that the client connects again
	}
	return s.sendEvent(transport.ValidUTF8(text.bytes))
}

// replaceLineEnds makes JSON one line, as an event's data has to be. JSON has line ends only between its tokens, where a
// space means the same.
func replaceLineEnds(json []byte) {
	for _, end := range []byte{'\n', '\r'} {
		for rest := json; ; {
			i := bytes.IndexByte(rest, end)
			if i < 0 {
				break
			}
			rest[i] = ' '
			rest = rest[i:]
		}
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
	if err == nil && len(text) > 0 {
		_, err = s.exchange.w.Write(text)
	}
	if err == nil {
		err = s.controller.Flush()
	}
	if err != nil {
		s.cancel()
		return false
	}
	s.wrote = time.Now()
	return true
}

// keepAlive sends a comment if nothing was sent for Options.KeepAlive. It is called by silence, which it sets again.
func (s *stream) keepAlive() {
	defer s.firing.Done()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	interval := s.exchange.transport.options.KeepAlive
	next := interval - time.Since(s.wrote)
	if next <= 0 {
		if !s.write([]byte(":\n\n")) {
			return
		}
		next = interval
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
