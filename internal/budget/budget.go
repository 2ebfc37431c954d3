// Package budget bounds the memory that clients make a process use.
//
// Code that is about to use memory for a client takes it from the [Budget] first. It estimates how many bytes the input
// expands to, and gives them back when the memory is free. What does not fit is refused before it costs anything. A take is
// for a whole connection or operation, never for a single message.
//
// Bytes count for a caller: all clients at one address (see package caller). A caller may hold at most as many bytes as
// then stay free. So one caller gets half of the budget, the next one half of the rest, and something is always left for
// the next. A large take must leave twice as much free. So if one of a caller's clients asks for too much, the others can
// still ask for little.
package budget

import (
	"context"
	"errors"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"pullwatch/internal/usererr"
)

// Kind is what memory is taken for.
type Kind int

// The kinds of memory.
const (
	// Connections are open connections: their goroutines, and their buffers here and in the kernel.
	Connections Kind = iota
	// Requests are bodies and messages that are being received, and the values that their JSON becomes.
	Requests
	// Documents are GraphQL documents that are being parsed, and those of open subscriptions.
	Documents
	// Operations are operations that run.
	Operations
	// Responses are being made, or their client has not received them yet.
	Responses
	// Logs are streams of pod logs: their queues, buffers and filters, and the memory that streams share.
	Logs
	kinds
)

var kindNames = [kinds]string{"connections", "requests", "documents", "operations", "responses", "logs"}

// The errors when there is no memory for a client. The client may try again.
var (
	// ErrFull says that there is no memory left for anybody.
	ErrFull error = usererr.New(usererr.Unavailable, "the server is short of memory; try again in a moment")
	// ErrShare says that the caller has its share. The more callers there are, the smaller a share is.
	ErrShare error = usererr.New(usererr.Unavailable, "your address takes up all of the server's memory that one may have "+
		"now; close connections or subscriptions, ask for less at once, or try again in a moment")
)

// Budget is memory that clients share. Any number of goroutines may call its methods. A nil Budget refuses nothing.
type Budget struct {
	total   int64
	gauges  [kinds]prometheus.Gauge
	refused [kinds]prometheus.Counter

	mu   sync.Mutex
	used int64
	// callers are those that hold bytes or wait for some, by name.
	callers map[string]*caller
	// waiting are the callers with waiters, the next one first.
	waiting []*caller
}

// caller is what one caller holds and waits for. The caller without a name takes what all clients share. It has no limit
// but the budget.
type caller struct {
	name    string
	used    int64
	waiters []*waiter
}

// waiter is one call of Wait that has no bytes yet.
type waiter struct {
	bytes   int64
	granted chan struct{} // closed when it has them
}

// New returns a Budget of total bytes and registers its metrics.
func New(total int64, r prometheus.Registerer) *Budget {
	b := &Budget{total: total, callers: map[string]*caller{}}
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

// Open returns an Account that takes for a caller, which is named as for Take. Close the Account.
//
// allowance is how many of its bytes another Account has taken already, for example the connection's. This Account takes only
// what exceeds the allowance.
func (b *Budget) Open(caller string, allowance int) *Account {
	return &Account{budget: b, caller: caller, allowance: int64(allowance)}
}

// Take takes bytes for a caller at once, or returns [ErrFull] or [ErrShare]. An empty name is for memory that clients share:
// then only the budget limits it. Give the bytes back with Give. A holder of several kinds uses an [Account] instead.
func (b *Budget) Take(caller string, kind Kind, bytes int) error {
	if b == nil || bytes <= 0 {
		return nil
	}
	return b.take(caller, kind, int64(bytes))
}

// Wait is Take that waits until the bytes fit. It returns ErrFull or ErrShare only when ctx is done before that. Takes of
// one caller get their bytes in the order in which they began to wait.
func (b *Budget) Wait(ctx context.Context, caller string, kind Kind, bytes int) error {
	if b == nil {
		return nil
	}
	return b.wait(ctx, caller, kind, int64(bytes))
}

// Give gives back bytes that Take or Wait has taken.
func (b *Budget) Give(caller string, kind Kind, bytes int) {
	if b == nil || bytes <= 0 {
		return
	}
	b.give(caller, kind, int64(bytes))
}

func (b *Budget) take(name string, kind Kind, bytes int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.callerLocked(name)
	if err := b.fitsLocked(c, bytes); err != nil {
		b.forgetLocked(c)
		b.refused[kind].Inc()
		return err
	}
	b.grantLocked(c, bytes)
	b.gauges[kind].Add(float64(bytes))
	return nil
}

func (b *Budget) wait(ctx context.Context, name string, kind Kind, bytes int64) error {
	b.mu.Lock()
	c := b.callerLocked(name)
	err := b.fitsLocked(c, bytes)
	if err == nil && len(c.waiters) == 0 {
		b.grantLocked(c, bytes)
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

// abandon removes a waiter and returns why it got no bytes. It returns nil if the waiter got them meanwhile.
func (b *Budget) abandon(c *caller, w *waiter) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, other := range c.waiters {
		if other != w {
			continue
		}
		why := b.fitsLocked(c, w.bytes)
		c.waiters = append(c.waiters[:i], c.waiters[i+1:]...)
		b.serveLocked() // what waited behind it may fit
		b.forgetLocked(c)
		if why == nil {
			why = ErrFull // its bytes fit, but others wait before it
		}
		return why
	}
	return nil
}

func (b *Budget) give(name string, kind Kind, bytes int64) {
	b.gauges[kind].Sub(float64(bytes))
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.callerLocked(name)
	b.used -= bytes
	c.used -= bytes
	b.serveLocked()
	b.forgetLocked(c)
}

// serveLocked gives waiters the bytes that fit, caller by caller.
func (b *Budget) serveLocked() {
	for i := 0; i < len(b.waiting); {
		c := b.waiting[i]
		for len(c.waiters) > 0 && b.fitsLocked(c, c.waiters[0].bytes) == nil {
			b.grantLocked(c, c.waiters[0].bytes)
			close(c.waiters[0].granted)
			c.waiters = c.waiters[1:]
		}
		if len(c.waiters) > 0 {
			i++
			continue
		}
		b.waiting = append(b.waiting[:i], b.waiting[i+1:]...)
	}
	if len(b.waiting) > 1 { // next time another caller is first
		b.waiting = append(b.waiting[1:], b.waiting[0])
	}
}

// large is the smallest large take, in bytes.
const large = 64 << 10

// fitsLocked returns nil if c may have the bytes, otherwise why it may not.
func (b *Budget) fitsLocked(c *caller, bytes int64) error {
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

func (b *Budget) grantLocked(c *caller, bytes int64) {
	b.used += bytes
	c.used += bytes
}

// callerLocked returns the caller of that name.
func (b *Budget) callerLocked(name string) *caller {
	c := b.callers[name]
	if c == nil {
		c = &caller{name: name}
		b.callers[name] = c
	}
	return c
}

// forgetLocked removes a caller that neither holds bytes nor waits.
func (b *Budget) forgetLocked(c *caller) {
	if c.used == 0 && len(c.waiters) == 0 {
		delete(b.callers, c.name)
	}
}
