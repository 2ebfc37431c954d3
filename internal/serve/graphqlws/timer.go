package graphqlws

import (
	"math"
	"time"
)

// never is the wakeAt of a connection that has no more time limits.
const never = time.Duration(math.MaxInt64)

// startTimer begins the time limits of a connection. Each startTimer needs a stopTimer.
func (c *connection) startTimer() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wakeAt = min(c.initBy, c.nextPing)
	c.transport.timers.Add(1)
	c.timer = time.AfterFunc(c.wakeAt-c.transport.now(), c.fire)
}

// setTimerLocked sets the timer to a time, instead of any other.
func (c *connection) setTimerLocked(at time.Duration) {
	c.wakeAt = at
	if c.timer.Stop() { // otherwise fire runs at this moment, and will see wakeAt
		c.timer.Reset(at - c.transport.now())
	}
}

// stopTimer ends the time limits. fire may still run: Transport.timers waits for it.
func (c *connection) stopTimer() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wakeAt = never
	if c.timer.Stop() {
		c.transport.timers.Done()
	}
}

// fire is called by the timer, and sets it again.
func (c *connection) fire() {
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
