package follow

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"pullwatch/internal/usererr"
)

// A log is opened again after minBackoff. The pause doubles, up to maxBackoff, until there are new lines. The log of a run
// that has ended is given up after maxFailures.
const (
	minBackoff  = 500 * time.Millisecond
	maxBackoff  = 30 * time.Second
	maxFailures = 6
	// endGrace is how long a follower waits after the end of a log for the news that the run has ended. If it opened the log
	// earlier, it might take the log of the next run for it.
	endGrace = 2 * time.Second
	// recoverySpread is within how long all followers try again when their cluster has recovered.
	recoverySpread = time.Second
)

// backoff counts failures in a row, and spaces out requests.
type backoff struct {
	failures int
	pause    time.Duration
}

func newBackoff() backoff { return backoff{pause: minBackoff} }

func (b *backoff) reset() { *b = newBackoff() }

// recovered forgets failures of the time when the cluster was away, and returns how long to wait before the next request.
func (b *backoff) recovered() time.Duration {
	b.reset()
	return 1 + rand.N(recoverySpread)
}

// next returns how long to wait before the next request. It is random, so that the followers of a restarted server do not
// all come back at once.
func (b *backoff) next() time.Duration {
	d := b.pause/2 + rand.N(b.pause/2)
	b.pause = min(2*b.pause, maxBackoff)
	return d
}

// spreadRecovery waits a random part of recoverySpread if the cluster has recovered since recoveries was read. So not all
// followers open their logs at once.
func (f *follower) spreadRecovery(ctx context.Context, backoff *backoff, recoveries int) error {
	if f.status.get().recoveries == recoveries {
		return nil
	}
	return f.status.await(ctx, backoff.recovered())
}

func isUserError(err error) bool {
	_, ok := errors.AsType[*usererr.Error](err)
	return ok
}
