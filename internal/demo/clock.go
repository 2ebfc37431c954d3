package demo

import (
	"context"
	"errors"
	"time"
)

// errDeadline means that a Job's deadline has passed.
var errDeadline = errors.New("job was active longer than specified deadline")

// clock is the time of one Job. A clock that is behind the present moves on without waiting until it has caught up. So the
// same code plays the past and the present.
type clock struct {
	behind   time.Duration
	deadline time.Time
}

func (c *clock) now() time.Time { return time.Now().Add(-c.behind) }

// wait waits for d. It returns errDeadline if the deadline passes before that, or ctx's error.
func (c *clock) wait(ctx context.Context, d time.Duration) error {
	var result error
	if left := c.deadline.Sub(c.now()); left < d {
		d, result = max(left, 0), errDeadline
	}
	skipped := min(d, c.behind)
	c.behind -= skipped
	if d -= skipped; d == 0 {
		return errors.Join(ctx.Err(), result)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return result
	case <-ctx.Done():
		return ctx.Err()
	}
}
