// Package redisclient connects to Redis: one server, a master that Sentinel watches over, or a cluster.
package redisclient

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"pullwatch/internal/redis/breaker"
)

// ErrAway is the error of a command that was not sent because Redis has just failed several times.
var ErrAway = fmt.Errorf("redis is away: %w", breaker.ErrOpen)

// noRetries makes go-redis try a command once; 0 means its default.
const noRetries = -1

// streamPoolSize leaves room, beside a few reads that block, for the commands of those who append and look up.
const streamPoolSize = 4

// Client is connected to one Redis. It is for any number of goroutines.
type Client struct {
	breaker          *breaker.Breaker
	commands, stream redis.UniversalClient
}

// New returns a client that connects when it is used. It logs when Redis goes away and when it is back, and registers
// its metrics; the caller closes it.
func New(s *Settings, logger *slog.Logger, metrics prometheus.Registerer) *Client {
	// go-redis has one logger for the whole process, which logs every failed attempt. What matters of that comes back as
	// errors, and the breaker logs it once.
	logging.Disable()

	failures := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pullwatch_redis_errors_total",
		Help: "Calls to Redis that failed: timeout, connection, or reply when it answered that it cannot serve now.",
	}, []string{"kind"})
	metrics.MustRegister(failures)
	c := &Client{
		breaker:  breaker.New("redis", judge, logger, metrics),
		commands: redis.NewUniversalClient(commandOptions(s)),
		stream:   redis.NewUniversalClient(streamOptions(s)),
	}
	c.commands.AddHook(hook{breaker: c.breaker, failures: failures})
	c.stream.AddHook(hook{failures: failures})
	metrics.MustRegister(poolCollector{"commands": c.commands, "stream": c.stream})
	return c
}

func commandOptions(s *Settings) *redis.UniversalOptions {
	o := s.options
	// A caller's deadline bounds its command; without this go-redis heeds only its own timeouts.
	o.ContextTimeoutEnabled = true
	// MaxRetries tries again, and backs off, above the dialer.
	o.DialerRetries = 1
	// All tries of a command fit into a deadline of 100 ms, so that its error is why they failed rather than that time
	// ran out between two of them.
	o.MaxRetryBackoff = 20 * time.Millisecond
	// Pipelines would have a second pool, which pool_size would not bound.
	o.PipelinePoolSize = -1
	// Both ask for what servers before 7.2 do not know and what pullwatch does not use.
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return &o
}

func streamOptions(s *Settings) *redis.UniversalOptions {
	o := commandOptions(s)
	o.PoolSize, o.MinIdleConns = streamPoolSize, 0
	o.MaxRetries = noRetries
	return o
}

// Commands returns the client for commands and pipelines that do not block. While Redis is away they fail at once with
// ErrAway. Otherwise they are tried again, within the caller's deadline, where that is safe.
func (c *Client) Commands() redis.UniversalClient { return c.commands }

// Stream returns a client with a small pool of its own, at most 4 connections to each server, for reads that block and
// for those who follow a stream. Every command is tried once and goes to Redis whether it is away or not. The caller decides
// when to try again. Canceling the context of a read that blocks does not end it; its deadline does.
func (c *Client) Stream() redis.UniversalClient { return c.stream }

// away reports whether Commands fail at once with ErrAway.
func (c *Client) away() bool { return c.breaker.Open() }

// Close closes all connections, which ends reads that block, and waits for nothing. Commands after it fail.
func (c *Client) Close() error {
	return errors.Join(c.commands.Close(), c.stream.Close())
}
