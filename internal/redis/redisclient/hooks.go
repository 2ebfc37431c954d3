package redisclient

import (
	"context"
	"errors"
	"net"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"pullwatch/internal/redis/breaker"
)

// cannotServe begins the replies that show Redis alive but unable to serve anybody, or to serve us, for now.
var cannotServe = []string{
	"LOADING", "READONLY", "OOM", "MISCONF", "BUSY ", "MASTERDOWN", "CLUSTERDOWN", "NOREPLICAS",
	"NOAUTH", "WRONGPASS", "NOPERM", "max number of clients reached",
}

// judge says what the error of a command says about Redis.
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

// worst returns the error in a pipeline that says most about Redis. go-redis returns the first one, which may be that of a
// key that does not exist.
func worst(first error, commands []redis.Cmder) error {
	for _, command := range commands {
		if judge(command.Err()) == breaker.Failed {
			return command.Err()
		}
	}
	return first
}

// hook stands between a client's callers and Redis: it counts what fails and sends only what the breaker lets through.
type hook struct {
	breaker  *breaker.Breaker // nil to send everything
	failures *prometheus.CounterVec
}

// insideCall marks the context of a call. go-redis runs the commands that begin a new connection through the hooks too, with
// the context of the call that needs it, so they are part of that call. Judged on their own, they would be refused while
// one call tries whether Redis is back, and that call would get no connection.
type insideCall struct{}

// do makes a call. call returns the error that says most about Redis.
func (h hook) do(ctx context.Context, call func(context.Context) error) error {
	if ctx.Value(insideCall{}) != nil {
		return call(ctx)
	}
	if ctx.Err() != nil {
		return ctx.Err() // this says nothing about Redis
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

// poolCollector counts the connections of the clients, by what each is for.
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
