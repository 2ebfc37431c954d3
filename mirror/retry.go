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
	// maxRetryAfter bounds how long a registry may make the copier wait; a longer pause is the Job's business.
	maxRetryAfter = 30 * time.Second
)

// retry calls try until it succeeds, fails for good or has failed maxTries times, and returns its last error. The
// subject says what is tried, for people.
func (c *copier) retry(ctx context.Context, subject string, try func() error) error {
	wait := firstWait
	for tries := 1; ; tries++ {
		err := try()
		if err == nil || ctx.Err() != nil || tries == maxTries {
			return err
		}
		failed := classify(err)
		if failed.permanent && !failed.again {
			return err
		}
		pause := max(wait/2+rand.N(wait), retryAfter(err))
		c.meter.event(fmt.Sprintf("Retrying %s in %s: %s", subject, seconds(pause), failed.message))
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
		wait *= 2
	}
}

type retryAfterKey struct{}

// withRetryAfter notes a response's Retry-After on its request, which is all that an error of the registry library
// keeps of a response.
func withRetryAfter(resp *http.Response) {
	value := resp.Header.Get("Retry-After")
	if value == "" || resp.Request == nil {
		return
	}
	var wait time.Duration
	if n, err := strconv.Atoi(value); err == nil {
		wait = time.Duration(min(n, int(maxRetryAfter/time.Second))) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		wait = min(time.Until(at), maxRetryAfter)
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
