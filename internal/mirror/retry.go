package mirror

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

const (
	maxTries = 4
	// firstWait is doubled with each try, and spread by up to a half either way.
	firstWait = time.Second
	// maxRetryAfter is how long the copier waits at most when a registry asks for that with Retry-After. If it asks for more,
	// the copy ends at once, and the next attempt may come at a better time.
	maxRetryAfter = 2 * time.Minute
	// goodProgress is after how many bytes what broke off goes on without a wait.
	goodProgress = 1 << 20
)

// tries counts the failures of one thing in a row, and waits between them.
type tries struct {
	c *copier
	// subject says what is tried, for people.
	subject string
	failed  int
	wait    time.Duration
}

func (c *copier) newTries(subject string) *tries {
	return &tries{c: c, subject: subject, wait: firstWait}
}

// progress forgets the failures before: what comes further each time arrives in the end.
func (t *tries) progress(bytes int64) {
	t.failed, t.wait = 0, firstWait
	if bytes >= goodProgress {
		t.wait = 0
	}
}

// again waits for the next try after a failure, and reports whether there is one.
func (t *tries) again(ctx context.Context, err error) bool {
	t.failed++
	if ctx.Err() != nil || t.failed >= maxTries || isA[*exhaustedError](err) {
		return false
	}
	if tooLate(ctx, err) {
		t.c.meter.event(fmt.Sprintf("Not retrying %s: the registry asks to wait %s, longer than there is time", t.subject, retryAfter(err)))
		return false
	}
	failed := classify(err)
	if failed.permanent && !failed.again {
		return false
	}
	pause := retryAfter(err)
	if t.wait > 0 {
		pause = max(t.wait/2+rand.N(t.wait), pause)
	}
	t.wait = max(2*t.wait, firstWait)
	if pause == 0 {
		t.c.meter.event(fmt.Sprintf("Retrying %s: %s", t.subject, failed.message))
		return true
	}
	t.c.meter.event(fmt.Sprintf("Retrying %s in %s: %s", t.subject, seconds(pause), failed.message))
	select {
	case <-ctx.Done():
		return false
	case <-time.After(pause):
		return true
	}
}

// pause waits like again, but not longer than limit.
func (t *tries) pause(ctx context.Context, limit time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(min(t.wait, limit)):
	}
	t.wait *= 2
}

// retry calls try until it succeeds, fails for good or has failed maxTries times, and returns its last error. The
// subject says what is tried, for people.
func (c *copier) retry(ctx context.Context, subject string, try func() error) error {
	tries := c.newTries(subject)
	for {
		err := try()
		if err == nil || !tries.again(ctx, err) {
			return err
		}
	}
}

// exhaustedError is an error after which everything was tried already.
type exhaustedError struct{ err error }

func (e *exhaustedError) Error() string { return e.err.Error() }
func (e *exhaustedError) Unwrap() error { return e.err }

type retryAfterKey struct{}

// withRetryAfter keeps a response's Retry-After in its request: an error of the registry library keeps the request, and nothing
// else of a response but its words.
func withRetryAfter(resp *http.Response) {
	value := resp.Header.Get("Retry-After")
	if value == "" || resp.Request == nil {
		return
	}
	const longest = 365 * 24 * time.Hour
	var wait time.Duration
	if n, err := strconv.Atoi(value); err == nil {
		wait = time.Duration(min(n, int(longest/time.Second))) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		wait = min(time.Until(at), longest)
	}
	if wait > 0 {
		resp.Request = resp.Request.WithContext(context.WithValue(resp.Request.Context(), retryAfterKey{}, wait))
	}
}

// retryAfter returns how long the registry asked to wait, zero when it did not.
func retryAfter(err error) time.Duration {
	answer, ok := errors.AsType[*transport.Error](err)
	if !ok || answer.Request == nil {
		return 0
	}
	wait, _ := answer.Request.Context().Value(retryAfterKey{}).(time.Duration)
	return wait
}

// tooLate reports whether the registry asks for a longer wait than the copy has time for.
func tooLate(ctx context.Context, err error) bool {
	wait := retryAfter(err)
	deadline, ok := ctx.Deadline()
	return wait > maxRetryAfter || (ok && wait > 0 && time.Now().Add(wait).After(deadline))
}
