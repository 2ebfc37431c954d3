package fakeapi

import (
	"context"
	"io"
	"net/http"
	"sync"
)

// transport passes requests to the server's handler and streams the responses back through pipes.
type transport struct{ server *Server }

// RoundTrip implements http.RoundTripper. The handler runs until it returns, the request's context ends, or the
// response's body is closed.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	body, pipe := io.Pipe()
	w := &responseWriter{header: http.Header{}, body: pipe, sent: make(chan struct{})}
	err := t.server.goHandle(func() {
		if r.Body != nil {
			defer r.Body.Close()
		}
		// Only closing the pipe ends a handler that writes to a client that does not read.
		defer context.AfterFunc(ctx, func() { pipe.CloseWithError(context.Cause(ctx)) })()
		defer context.AfterFunc(t.server.ctx, func() { cancel(errClosed) })()
		t.server.ServeHTTP(w, r.WithContext(ctx))
		w.WriteHeader(http.StatusOK)
		pipe.Close()
	})
	if err != nil {
		cancel(nil)
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, err
	}
	select {
	case <-w.sent:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	return &http.Response{
		Status: http.StatusText(w.code), StatusCode: w.code,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sentHeader, Body: &responseBody{body, cancel}, ContentLength: -1, Request: r,
	}, nil
}

// responseBody ends its request when it is closed.
type responseBody struct {
	*io.PipeReader
	cancel context.CancelCauseFunc
}

func (b *responseBody) Close() error {
	b.cancel(io.ErrClosedPipe)
	return b.PipeReader.Close()
}

// responseWriter passes on the response's header when it is complete, and writes the body to a pipe.
type responseWriter struct {
	header http.Header
	body   *io.PipeWriter

	once       sync.Once
	sent       chan struct{}
	sentHeader http.Header
	code       int
}

func (w *responseWriter) Header() http.Header { return w.header }

func (w *responseWriter) WriteHeader(code int) {
	w.once.Do(func() {
		w.code, w.sentHeader = code, w.header.Clone()
		close(w.sent)
	})
}

func (w *responseWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}

// Flush implements http.Flusher. It does nothing: a pipe has no buffer.
func (w *responseWriter) Flush() { w.WriteHeader(http.StatusOK) }
