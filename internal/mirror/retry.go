package mirror

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	maxTries = 4
	// firstWait is doubled with each try, and spread by up to a half either way.
	firstWait = time.Second
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

// tooLate reports whether the registry asks for a longer wait than the copy has time for.
func tooLate(ctx context.Context, err error) bool {
	wait := retryAfter(err)
	deadline, ok := ctx.Deadline()
	return wait > maxRetryAfter || (ok && wait > 0 && time.Now().Add(wait).After(deadline))
}
