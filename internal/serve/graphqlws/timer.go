package graphqlws

import (
	"math"
	"time"
)

// never is when a timer rings that has nothing more to do.
const never = time.Duration(math.MaxInt64)

// startTimer begins the limits of time of a connection. stopTimer is called for each startTimer.
func (c *connection) startTimer() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wakeAt = min(c.initBy, c.nextPing)
	c.transport.timers.Add(1)
	c.timer = time.AfterFunc(c.wakeAt-c.transport.now(), c.ring)
}

// setTimerLocked has the connection woken at a time, and at no other.
func (c *connection) setTimerLocked(at time.Duration) {
	c.wakeAt = at
	if c.timer.Stop() { // else it rings at this moment, and looks at wakeAt
		c.timer.Reset(at - c.transport.now())
	}
}

// stopTimer ends the limits of time. The timer may be ringing; then Transport.timers says when that is over.
func (c *connection) stopTimer() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wakeAt = never
	if c.timer.Stop() {
		c.transport.timers.Done()
	}
}

// ring is the timer's. It sets the timer again unless nothing more is due.
func (c *connection) ring() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.transport.now()
	if now >= c.wakeAt {
		c.enforceLocked(now)
	}
	if c.wakeAt == never {
		c.transport.timers.Done()
		return
	}
	c.timer.Reset(c.wakeAt - now)
}
