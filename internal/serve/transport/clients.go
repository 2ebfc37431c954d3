package transport

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"pullwatch/internal/usererr"
)

// Clients are the connections or streams of a transport: how many there are, whether there may be another, and how they
// all end when the process stops.
type Clients[T comparable] struct {
	kind            string // as clients read it
	max, maxAddress int

	mu        sync.Mutex
	draining  bool
	admitted  int
	addresses map[string]int // how many of the admitted are of which address
	members   map[T]struct{}
	serving   sync.WaitGroup // held for each that has been admitted
}

// NewClients returns Clients that admit at most max, and maxAddress of one address. kind is the plural that error
// messages name them by.
func NewClients[T comparable](kind string, max, maxAddress int) *Clients[T] {
	return &Clients[T]{
		kind: kind, max: max, maxAddress: maxAddress, addresses: map[string]int{}, members: map[T]struct{}{},
	}
}

// A Refusal is why there may not be another client. Status is for the HTTP response.
type Refusal struct {
	Status  int
	Code    usererr.Code
	message string
}

func (r *Refusal) Error() string { return r.message }

// Admit counts a client, or returns why there may not be another. Release ends what Admit has begun.
func (c *Clients[T]) Admit(address string) *Refusal {
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
	case c.addresses[address] >= c.maxAddress:
		return &Refusal{
			http.StatusTooManyRequests, usererr.LimitExceeded,
			fmt.Sprintf("there are too many %s from your address; close one first", c.kind),
		}
	}
	c.admitted++
	c.addresses[address]++
	c.serving.Add(1)
	return nil
}

// Release is called when nothing of a client is left. It makes room for another one, calls closed, and lets Drain return.
func (c *Clients[T]) Release(address string, closed func()) {
	defer c.serving.Done()
	c.mu.Lock()
	c.admitted--
	if c.addresses[address]--; c.addresses[address] == 0 {
		delete(c.addresses, address)
	}
	c.mu.Unlock()
	closed()
}

// Add makes a client, which has been admitted, one that Drain ends. It reports whether Drain has begun: then the caller
// ends the client.
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

// Wait returns when all that were admitted have been released.
func (c *Clients[T]) Wait() { c.serving.Wait() }

// widestGap is the time between two ends while Drain has few clients: a hundred a second do no harm when they come back.
const widestGap = 10 * time.Millisecond

// Drain admits nobody any more and calls end for each client, evenly spread over at most the given time, so that they do
// not all come back at once. It returns when all have been released and wait has returned.
//
// When ctx is done, Drain calls cut for all that are left, waits for their release, and returns ctx's cause.
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
