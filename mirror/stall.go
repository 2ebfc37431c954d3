package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

const (
	// stallTimeout is how long a registry may neither take nor give a byte.
	stallTimeout = time.Minute
	// commitTimeout is how long it may take to answer a PUT: storing a large blob for good can take minutes.
	commitTimeout = 5 * time.Minute
)

// stallError is returned for a request whose server did nothing for too long.
type stallError struct{ limit time.Duration }

func (e *stallError) Error() string { return fmt.Sprintf("not a byte for %s", seconds(e.limit)) }

// readError is an error of the connection that a response is read from, as opposed to one of its content.
type readError struct{ err error }

func (e *readError) Error() string { return e.err.Error() }
func (e *readError) Unwrap() error { return e.err }

// watchedRoundTrip ends a request, with a stallError, when its server does nothing for too long. The time that the
// server waits for us does not count: when a blob's source hangs, its upload must not be what times out, nor the other
// way round.
func watchedRoundTrip(base http.RoundTripper, req *http.Request) (*http.Response, error) {
	limit := stallTimeout
	if req.Method == http.MethodPut {
		limit = commitTimeout
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	dog := &watchdog{limit: limit, cancel: cancel, timer: time.AfterFunc(limit, func() { cancel(&stallError{limit}) })}
	req = req.WithContext(ctx)
	if req.Body != nil && req.Body != http.NoBody {
		req.Body = &watchedUpload{ReadCloser: req.Body, dog: dog}
	}
	resp, err := base.RoundTrip(req)
	if err != nil {
		err = explain(ctx, err)
		dog.end()
		return nil, err
	}
	dog.pause()
	resp.Body = &watchedDownload{ReadCloser: resp.Body, ctx: ctx, dog: dog}
	return resp, nil
}

// explain returns the stall that ctx ended with instead of what came of it.
func explain(ctx context.Context, err error) error {
	if stall, ok := errors.AsType[*stallError](context.Cause(ctx)); ok {
		return stall
	}
	return err
}

// watchdog cancels a request when it has not been paused for limit.
type watchdog struct {
	limit  time.Duration
	cancel context.CancelCauseFunc

	mu    sync.Mutex
	timer *time.Timer
	ended bool
}

func (d *watchdog) resume() {
	d.mu.Lock()
	defer d.mu.Unlock()
	// An upload may be read a last time after its response has ended.
	if !d.ended {
		d.timer.Reset(d.limit)
	}
}

func (d *watchdog) pause() { d.timer.Stop() }

func (d *watchdog) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = true
	d.timer.Stop()
	d.cancel(nil)
}

// watchedUpload is a request's body: the server is idle for as long as the next piece is not being read.
type watchedUpload struct {
	io.ReadCloser
	dog *watchdog
}

func (u *watchedUpload) Read(p []byte) (int, error) {
	u.dog.pause()
	defer u.dog.resume()
	return u.ReadCloser.Read(p)
}

// watchedDownload is a response's body: the server is idle for as long as a piece is being read.
type watchedDownload struct {
	io.ReadCloser
	ctx context.Context
	dog *watchdog
}

func (d *watchedDownload) Read(p []byte) (int, error) {
	d.dog.resume()
	defer d.dog.pause()
	n, err := d.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = &readError{explain(d.ctx, err)}
	}
	return n, err
}

func (d *watchedDownload) Close() error {
	err := d.ReadCloser.Close()
	d.dog.end()
	return err
}
