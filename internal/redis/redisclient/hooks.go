package redisclient

import (
	"context"
	"errors"
	"net"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"pullwatch/internal/redis/breaker"
)

// cannotServe are the first words of replies by which Redis says that it cannot serve anybody now, or cannot serve us.
var cannotServe = []string{
	"LOADING", "READONLY", "OOM", "MISCONF", "BUSY ", "MASTERDOWN", "CLUSTERDOWN", "NOREPLICAS",
	"NOAUTH", "WRONGPASS", "NOPERM", "max number of clients reached",
}

// judge returns what the error of a command says about Redis.
func judge(err error) breaker.Outcome {
	var reply redis.Error
	switch {
	case errors.Is(err, redis.ErrClosed):
		return breaker.Unclear
	case errors.As(err, &reply):
		for _, prefix := range cannotServe {
			if redis.HasErrorPrefix(err, prefix) {
				return breaker.Failed
			}
		}
		return breaker.Answered
	default:
		return breaker.Judge(err)
	}
}

// worst returns the error in a pipeline that shows that Redis fails, if there is one. go-redis returns the first error, which may
// only say that a key does not exist.
func worst(first error, commands []redis.Cmder) error {
	for _, command := range commands {
		if judge(command.Err()) == breaker.Failed {
			return command.Err()
		}
	}
	return first
}

// hook wraps every call to Redis. It counts those that fail, and makes only those that the breaker allows.
type hook struct {
	breaker  *breaker.Breaker // nil to allow all calls
	failures *prometheus.CounterVec
}

// insideCall marks the context of a call. go-redis also runs the hooks for commands that begin a new connection, with the context
// of the call that needs it. They are part of that call. Judged on their own, they would be refused while one call tries whether
// Redis is back, and that call would get no connection.
type insideCall struct{}

// do makes a call, unless the breaker refuses it. The error of call is the one to judge.
func (h hook) do(ctx context.Context, call func(context.Context) error) error {
	if ctx.Value(insideCall{}) != nil {
		return call(ctx)
	}
	if ctx.Err() != nil {
		return ctx.Err() // it says nothing about Redis
	}
	counted := func() error {
		err := call(context.WithValue(ctx, insideCall{}, true))
		if judge(err) == breaker.Failed {
			h.failures.WithLabelValues(kindOf(err)).Inc()
		}
		return err
	}
	if h.breaker == nil {
		return counted()
	}
	if err := h.breaker.Do(counted); !errors.Is(err, breaker.ErrOpen) {
		return err
	}
	return ErrAway
}

// DialHook implements redis.Hook.
func (hook) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements redis.Hook.
func (h hook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, command redis.Cmder) error {
		return h.do(ctx, func(ctx context.Context) error { return next(ctx, command) })
	}
}

// ProcessPipelineHook implements redis.Hook.
func (h hook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, commands []redis.Cmder) error {
		var sent bool
		var first error
		err := h.do(ctx, func(ctx context.Context) error {
			sent = true
			first = next(ctx, commands)
			return worst(first, commands)
		})
		if sent {
			return first
		}
		for _, command := range commands {
			command.SetErr(err)
		}
		return err
	}
}

// kindOf returns the value of the metric's label for an error that was judged Failed.
func kindOf(err error) string {
	var (
		reply   redis.Error
		network net.Error
	)
	switch {
	case errors.As(err, &reply):
		return "reply"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, redis.ErrPoolTimeout),
		errors.As(err, &network) && network.Timeout():
		return "timeout"
	default:
		return "connection"
	}
}

// poolCollector counts the connections of the clients, by name.
type poolCollector map[string]redis.UniversalClient

var poolConnections = prometheus.NewDesc("pullwatch_redis_pool_connections",
	"Connections to Redis, by client (commands or stream) and state (idle or busy).", []string{"client", "state"}, nil)

// Describe implements prometheus.Collector.
func (poolCollector) Describe(descriptions chan<- *prometheus.Desc) { descriptions <- poolConnections }

// Collect implements prometheus.Collector.
func (p poolCollector) Collect(metrics chan<- prometheus.Metric) {
	for name, client := range p {
		stats := client.PoolStats()
		gauge := func(connections uint32, state string) {
			metrics <- prometheus.MustNewConstMetric(poolConnections, prometheus.GaugeValue, float64(connections), name, state)
		}
		gauge(stats.IdleConns, "idle")
		gauge(max(stats.TotalConns, stats.IdleConns)-stats.IdleConns, "busy")
	}
}
