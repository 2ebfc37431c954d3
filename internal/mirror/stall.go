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
	// stallTimeout is how long a registry may neither take nor give a byte, nor answer a request.
	stallTimeout = time.Minute
	// patience is how long it may take to answer a request for which it moves a blob or stores something. patienceRate is how
	// many bytes a second it moves at least: a proxy may receive a whole blob before it sends the first byte on.
	patience     = 5 * time.Minute
	patienceRate = 10 << 20
)

type patienceKey struct{}

// withPatience gives the server of a request longer to answer once it has all of the request: it has size bytes to move.
func withPatience(ctx context.Context, size int64) context.Context {
	return context.WithValue(ctx, patienceKey{}, patience+time.Duration(size/patienceRate)*time.Second)
}

// answerTimeout returns how long a server may take to answer once it has all of the request.
func answerTimeout(ctx context.Context) time.Duration {
	if limit, ok := ctx.Value(patienceKey{}).(time.Duration); ok {
		return limit
	}
	return stallTimeout
}

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
	ctx, cancel := context.WithCancelCause(req.Context())
	dog := &watchdog{limit: stallTimeout, cancel: cancel}
	hasBody := req.Body != nil && req.Body != http.NoBody
	if !hasBody {
		dog.limit = answerTimeout(ctx)
	}
	dog.timer = time.AfterFunc(dog.limit, dog.bark)
	req = req.WithContext(ctx)
	if hasBody {
		req.Body = &watchedUpload{ReadCloser: req.Body, dog: dog, answer: answerTimeout(ctx)}
	}
	resp, err := base.RoundTrip(req)
	if err != nil {
		err = explain(ctx, err)
		dog.end()
		return nil, err
	}
	dog.answered()
	resp.Body = &watchedDownload{ReadCloser: resp.Body, ctx: ctx, dog: dog}
	return resp, nil
}

// explain returns the stall that ended ctx, if one did, instead of the error that followed from it.
func explain(ctx context.Context, err error) error {
	if stall, ok := errors.AsType[*stallError](context.Cause(ctx)); ok {
		return stall
	}
	return err
}

// watchdog cancels a request when it has not been paused for limit.
type watchdog struct {
	cancel context.CancelCauseFunc
	timer  *time.Timer

	mu    sync.Mutex
	limit time.Duration
	// hasAnswer is true once the response has begun, ended once it is over.
	hasAnswer, ended bool
}

func (d *watchdog) bark() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cancel(&stallError{d.limit})
}

func (d *watchdog) resume() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.ended {
		d.timer.Reset(d.limit)
	}
}

// resumeUpload is resume for the request's body, which may be read a last time after the response has come, or ended.
func (d *watchdog) resumeUpload() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.hasAnswer && !d.ended {
		d.timer.Reset(d.limit)
	}
}

func (d *watchdog) pause() { d.timer.Stop() }

// sent sets how long the server may take to answer: it has all of the request now.
func (d *watchdog) sent(limit time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.hasAnswer {
		d.limit = limit
	}
}

// answered pauses until the response's body is read.
func (d *watchdog) answered() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hasAnswer, d.limit = true, stallTimeout
	d.timer.Stop()
}

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
	// answer is how long the server may take when it has all of the body.
	answer time.Duration
}

func (u *watchedUpload) Read(p []byte) (int, error) {
	u.dog.pause()
	defer u.dog.resumeUpload()
	n, err := u.ReadCloser.Read(p)
	if err == io.EOF {
		u.dog.sent(u.answer)
	}
	return n, err
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
