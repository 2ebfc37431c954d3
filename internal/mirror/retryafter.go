package mirror

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// maxRetryAfter is how long the copier waits at most when a registry asks for that with Retry-After. If it asks for more,
// the copy ends at once, and the next attempt may come at a better time.
const maxRetryAfter = 2 * time.Minute

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
