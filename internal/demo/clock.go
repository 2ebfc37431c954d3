package demo

import (
	"context"
	"errors"
	"time"
)

// errDeadline means that a Job's time is up.
var errDeadline = errors.New("job was active longer than specified deadline")

// clock is the time of one Job. One that is behind does not wait: it only moves on, until it has caught up with the
// present. So the past is played by the same code as the present.
type clock struct {
	behind   time.Duration
	deadline time.Time
}

func (c *clock) now() time.Time { return time.Now().Add(-c.behind) }

// wait waits for d. It fails with errDeadline when the deadline passes before that, or with ctx's error.
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
