// Package redisclient connects to Redis: to one server, to a master that Sentinel watches over, or to a Redis Cluster.
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

// noRetries makes go-redis send a command once. 0 would mean its default.
const noRetries = -1

// streamPoolSize is how many connections Stream may have to each server: for a few reads that block, and for other commands beside
// them.
const streamPoolSize = 4

// Client is connected to one Redis. It is for any number of goroutines.
type Client struct {
	breaker          *breaker.Breaker
	commands, stream redis.UniversalClient
}

// New returns a client that connects when it is used. It logs when Redis goes away and when it is back, and registers its metrics.
// The caller closes it.
func New(s *Settings, logger *slog.Logger, metrics prometheus.Registerer) *Client {
	// go-redis has one logger for the whole process, which logs every failure to connect. Those that matter come back as
	// errors, and the breaker logs them once.
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
	// Commands obey the deadline of their context. By default go-redis knows only its own timeouts.
	o.ContextTimeoutEnabled = true
	// One dial for each time that a command is sent: MaxRetries sends it again, with a backoff.
	o.DialerRetries = 1
	// All retries of a command fit into a deadline of 100 ms. So its error says why they failed, not that time ran out between
	// two of them.
	o.MaxRetryBackoff = 20 * time.Millisecond
	// No second pool for pipelines: pool_size would not bound it.
	o.PipelinePoolSize = -1
	// No CLIENT SETINFO, no maintenance notifications: servers before 7.2 do not know them, and pullwatch does not need them.
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

// Commands returns the client for commands and pipelines that do not block. While Redis is away they fail at once with ErrAway.
// Otherwise they are retried where that is safe, within the deadline of their context.
func (c *Client) Commands() redis.UniversalClient { return c.commands }

// Stream returns a client for whoever follows a Redis stream, or waits for something in one. It has a pool of its own, of at most 4
// connections to each server, which reads may block. Every command is sent once, whether Redis is away or not; the caller decides
// about retries. A canceled context does not end a read that blocks, but its deadline does.
func (c *Client) Stream() redis.UniversalClient { return c.stream }

// away reports whether Commands fail at once with ErrAway.
func (c *Client) away() bool { return c.breaker.Open() }

// Close closes all connections and does not wait. That ends reads that block. Commands fail afterwards.
func (c *Client) Close() error {
	return errors.Join(c.commands.Close(), c.stream.Close())
}
