// Package budget bounds the memory that clients make a process take.
//
// Whoever is about to take memory for a client takes it from the [Budget] first, by an estimate that counts what input
// expands to, and gives it back when the memory is free. What does not fit is refused before it costs anything. Takes
// are lumps, for a connection or an operation: nothing takes for each message.
//
// A client may have as much as is left free when it has it: one alone half of the budget, the next one half of the rest.
// So nobody can take all, and something is left for who comes next. What is large has to leave twice as much free: many
// clients may have one address, and those of them who ask for little go on when one asks for too much.
package budget

import (
	"context"
	"errors"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"pullwatch/internal/usererr"
)

// Kind says what memory is taken for.
type Kind int

// The kinds of memory.
const (
	// Connections are open connections: their buffers, here and in the kernel, and their goroutines.
	Connections Kind = iota
	// Requests are bodies and messages that are being received, and what their JSON becomes.
	Requests
	// Documents are GraphQL documents that are being parsed, and those of open subscriptions.
	Documents
	// Operations are operations that run.
	Operations
	// Responses are those that are being made, or that their client has not taken yet.
	Responses
	// Logs are streams of pod logs: their queues, buffers and filters, and what streams share.
	Logs
	kinds
)

var kindNames = [kinds]string{"connections", "requests", "documents", "operations", "responses", "logs"}

// What a client is told for whom there is no memory. Both pass.
var (
	// ErrFull says that the process has no more memory for any client.
	ErrFull error = usererr.New(usererr.Unavailable, "the server is short of memory; try again in a moment")
	// ErrShare says that the client has its share, which is the smaller the more clients there are.
	ErrShare error = usererr.New(usererr.Unavailable, "your address takes up all of the server's memory that one may have "+
		"now; close connections or subscriptions, ask for less at once, or try again in a moment")
)

// Budget is memory to share out. All methods are for any number of goroutines. A nil Budget refuses nothing.
type Budget struct {
	total   int64
	gauges  [kinds]prometheus.Gauge
	refused [kinds]prometheus.Counter

	mu   sync.Mutex
	used int64
	// clients are those that have something, or wait for it.
	clients map[string]*client
	// waiting are the clients with waiters, in the order of their turns.
	waiting []*client
}

// client is who takes. The one without a name stands for what clients share: it may have all.
type client struct {
	name    string
	used    int64
	waiters []*waiter
}

// waiter waits for memory.
type waiter struct {
	bytes   int64
	granted chan struct{}
}

// New returns a Budget of so many bytes and registers its metrics.
func New(total int64, r prometheus.Registerer) *Budget {
	b := &Budget{total: total, clients: map[string]*client{}}
	limit := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "pullwatch_memory_budget_bytes",
		Help: "Memory that clients may make the process take, all together: three quarters of --memory-budget.",
	})
	limit.Set(float64(total))
	used := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "pullwatch_memory_budget_used_bytes",
		Help: "Memory that is taken from the budget, as it is estimated, by kind: connections, requests (being received " +
			"or read), documents (being parsed, or of open subscriptions), operations, responses (until they are written), " +
			"logs (streams, and what they share).",
	}, []string{"kind"})
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pullwatch_memory_budget_refused_total",
		Help: "What was refused because it did not fit into the budget, by kind.",
	}, []string{"kind"})
	r.MustRegister(limit, used, refused)
	for kind, name := range kindNames {
		b.gauges[kind], b.refused[kind] = used.WithLabelValues(name), refused.WithLabelValues(name)
	}
	return b
}

// Open returns an Account that takes for a client, named as Take has it.
//
// allowance is how many bytes of it somebody else has taken already, for the connection for instance: only what goes
// beyond it is taken. The caller closes the Account.
func (b *Budget) Open(client string, allowance int) *Account {
	return &Account{budget: b, client: client, allowance: int64(allowance)}
}

// Take takes so many bytes for a client at once, or returns [ErrFull] or [ErrShare]. An empty name is for what clients
// share, which has no share of its own to keep to. The caller gives the bytes back; who has several kinds of them is
// better off with an [Account].
func (b *Budget) Take(name string, kind Kind, bytes int) error {
	if b == nil || bytes <= 0 {
		return nil
	}
	return b.take(name, kind, int64(bytes))
}

// Wait is Take for who can wait: it returns an error only when ctx is done before the bytes fit. Those of one client
// come in the order in which they began to wait.
func (b *Budget) Wait(ctx context.Context, name string, kind Kind, bytes int) error {
	if b == nil {
		return nil
	}
	return b.wait(ctx, name, kind, int64(bytes))
}

// Give gives back what Take or Wait has taken, or a part of it.
func (b *Budget) Give(name string, kind Kind, bytes int) {
	if b == nil || bytes <= 0 {
		return
	}
	b.give(name, kind, int64(bytes))
}

func (b *Budget) take(name string, kind Kind, bytes int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.client(name)
	if err := b.fits(c, bytes); err != nil {
		b.forget(c)
		b.refused[kind].Inc()
		return err
	}
	b.grant(c, bytes)
	b.gauges[kind].Add(float64(bytes))
	return nil
}

func (b *Budget) wait(ctx context.Context, name string, kind Kind, bytes int64) error {
	b.mu.Lock()
	c := b.client(name)
	err := b.fits(c, bytes)
	if err == nil && len(c.waiters) == 0 {
		b.grant(c, bytes)
		b.gauges[kind].Add(float64(bytes))
		b.mu.Unlock()
		return nil
	}
	w := &waiter{bytes: bytes, granted: make(chan struct{})}
	if len(c.waiters) == 0 {
		b.waiting = append(b.waiting, c)
	}
	c.waiters = append(c.waiters, w)
	b.mu.Unlock()
	select {
	case <-w.granted:
	case <-ctx.Done():
		if why := b.abandon(c, w); why != nil {
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				b.refused[kind].Inc()
			}
			return why
		}
	}
	b.gauges[kind].Add(float64(bytes))
	return nil
}

// abandon takes a waiter away, and returns why it has not been granted what it waits for; nil if it has.
func (b *Budget) abandon(c *client, w *waiter) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, other := range c.waiters {
		if other != w {
			continue
		}
		why := b.fits(c, w.bytes)
		c.waiters = append(c.waiters[:i], c.waiters[i+1:]...)
		b.serve() // what waited behind it may fit
		b.forget(c)
		if why == nil {
			why = ErrFull // it would have been next
		}
		return why
	}
	return nil
}

func (b *Budget) give(name string, kind Kind, bytes int64) {
	b.gauges[kind].Sub(float64(bytes))
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.client(name)
	b.used -= bytes
	c.used -= bytes
	b.serve()
	b.forget(c)
}

// serve grants waiters what fits, each client one after the other. b.mu is held.
func (b *Budget) serve() {
	for i := 0; i < len(b.waiting); {
		c := b.waiting[i]
		for len(c.waiters) > 0 && b.fits(c, c.waiters[0].bytes) == nil {
			b.grant(c, c.waiters[0].bytes)
			close(c.waiters[0].granted)
			c.waiters = c.waiters[1:]
		}
		if len(c.waiters) > 0 {
			i++
			continue
		}
		b.waiting = append(b.waiting[:i], b.waiting[i+1:]...)
	}
	if len(b.waiting) > 1 { // another one is first the next time
		b.waiting = append(b.waiting[1:], b.waiting[0])
	}
}

// large is from how many bytes on a take is a large one.
const large = 64 << 10

// fits reports why c may not have so many bytes more, nil if it may. b.mu is held.
func (b *Budget) fits(c *client, bytes int64) error {
	free := b.total - b.used - bytes
	share := free
	if bytes >= large {
		share /= 2
	}
	switch {
	case free < 0:
		return ErrFull
	case c.name != "" && c.used+bytes > share:
		return ErrShare
	}
	return nil
}

func (b *Budget) grant(c *client, bytes int64) {
	b.used += bytes
	c.used += bytes
}

// client returns who has the name. b.mu is held.
func (b *Budget) client(name string) *client {
	c := b.clients[name]
	if c == nil {
		c = &client{name: name}
		b.clients[name] = c
	}
	return c
}

// forget keeps no client that has nothing. b.mu is held.
func (b *Budget) forget(c *client) {
	if c.used == 0 && len(c.waiters) == 0 {
		delete(b.clients, c.name)
	}
}
