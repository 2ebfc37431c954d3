package follow

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"pullwatch/internal/usererr"
)

// Opening a log again: after minBackoff, twice as long each time that brought nothing, and at most maxBackoff.
// The log of a run that has ended is given up after maxAttempts.
const (
	minBackoff  = 500 * time.Millisecond
	maxBackoff  = 30 * time.Second
	maxAttempts = 6
	// endGrace is how long a log that has come to its end may wait for the news that its run has ended. If it was opened
	// again before that, the log of the next run might be taken for it.
	endGrace = 2 * time.Second
	// recoverySpread is within how long all followers try again when their cluster has recovered.
	recoverySpread = time.Second
)

// retry counts failures in a row and spaces out what is tried again.
type retry struct {
	failures int
	backoff  time.Duration
}

func (r *retry) reset() { *r = retry{backoff: minBackoff} }

// recovered forgets what failed while the cluster was away, and returns how long to wait before the next attempt.
func (r *retry) recovered() time.Duration {
	r.reset()
	return 1 + rand.N(recoverySpread)
}

// next returns how long to wait. It varies so that not all followers of a restarted server come back at once.
func (r *retry) next() time.Duration {
	d := r.backoff/2 + rand.N(r.backoff/2)
	r.backoff = min(2*r.backoff, maxBackoff)
	return d
}

// awaitTurn waits, when the cluster has recovered since, until it is this follower's turn to try again.
func (f *follower) awaitTurn(ctx context.Context, retry *retry, recoveries int) error {
	if f.status.get().recoveries == recoveries {
		return nil
	}
	return f.status.await(ctx, retry.recovered())
}

func isUserError(err error) bool {
	_, ok := errors.AsType[*usererr.Error](err)
	return ok
}
