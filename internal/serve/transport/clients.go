package transport

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"pullwatch/internal/usererr"
)

// Clients are the WebSockets or the streams of a transport. They limit how many there may be, and end all of them when the
// process stops. A client is admitted before it costs anything, is a member from when it can be ended, and is released
// when nothing of it is left.
type Clients[T comparable] struct {
	kind           string // in messages to clients
	max, maxCaller int

	mu       sync.Mutex
	draining bool
	admitted int
	callers  map[string]int // how many of the admitted count for which caller
	members  map[T]struct{}
	serving  sync.WaitGroup // of the admitted
}

// NewClients returns Clients that admit at most max, and maxCaller for one caller. kind is their name in messages, a plural.
func NewClients[T comparable](kind string, max, maxCaller int) *Clients[T] {
	return &Clients[T]{
		kind: kind, max: max, maxCaller: maxCaller, callers: map[string]int{}, members: map[T]struct{}{},
	}
}

// A Refusal says why a client is not admitted. Status is for the HTTP response.
type Refusal struct {
	Status  int
	Code    usererr.Code
	message string
}

func (r *Refusal) Error() string { return r.message }

// Admit counts a client for its caller, or returns why it is refused. Release undoes Admit.
func (c *Clients[T]) Admit(caller string) *Refusal {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.draining:
		return &Refusal{http.StatusServiceUnavailable, usererr.Unavailable, "the server is stopping; try again in a moment"}
	case c.admitted >= c.max:
		return &Refusal{
			http.StatusServiceUnavailable, usererr.LimitExceeded,
			fmt.Sprintf("the server has as many %s as it takes; try again later", c.kind),
		}
	case c.callers[caller] >= c.maxCaller:
		return &Refusal{
			http.StatusTooManyRequests, usererr.LimitExceeded,
			fmt.Sprintf("there are too many %s from your address; close one first", c.kind),
		}
	}
	c.admitted++
	c.callers[caller]++
	c.serving.Add(1)
	return nil
}

// Release is for when nothing of an admitted client is left. It makes room for another one, then calls closed, and then
// lets Drain return.
func (c *Clients[T]) Release(caller string, closed func()) {
	defer c.serving.Done()
	c.mu.Lock()
	c.admitted--
	if c.callers[caller]--; c.callers[caller] == 0 {
		delete(c.callers, caller)
	}
	c.mu.Unlock()
	closed()
}

// Add makes an admitted client a member, which Drain ends. It reports whether Drain has begun. Then Drain may not have seen
// the client, and whoever calls Add ends it.
func (c *Clients[T]) Add(client T) (draining bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.members[client] = struct{}{}
	return c.draining
}

// Remove undoes Add.
func (c *Clients[T]) Remove(client T) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.members, client)
}

// Each calls f with each client. f must not call c.
func (c *Clients[T]) Each(f func(T)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for client := range c.members {
		f(client)
	}
}

// Wait returns when all admitted clients have been released.
func (c *Clients[T]) Wait() { c.serving.Wait() }

// widestGap is the longest time between two ends. A hundred clients a second do no harm when they connect again.
const widestGap = 10 * time.Millisecond

// Drain admits no more clients and calls end for each member. It spreads the calls evenly over at most the given time, so
// that not all clients connect again at once. It returns when all clients have been released and wait has returned.
//
// When ctx is done, Drain calls cut for the members that are left, waits for their release, and returns ctx's cause.
func (c *Clients[T]) Drain(ctx context.Context, over time.Duration, end, cut func(T), wait func()) error {
	c.mu.Lock()
	c.draining = true
	clients := make([]T, 0, len(c.members))
	for client := range c.members {
		clients = append(clients, client)
	}
	c.mu.Unlock()

	begun := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i, client := range clients {
		timer.Reset(time.Until(begun.Add(time.Duration(i) * min(over/time.Duration(len(clients)), widestGap))))
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		end(client)
	}

	gone := make(chan struct{})
	go func() {
		c.serving.Wait()
		wait()
		close(gone)
	}()
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
	}
	c.Each(cut)
	<-gone
	return context.Cause(ctx)
}
