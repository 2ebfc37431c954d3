package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"pullwatch/cache"
	"pullwatch/internal/redis/redisclient"
	"pullwatch/kube"
)

// The ways to get a list.
const (
	fromKubernetes = "straight from Kubernetes"
	fromRedisNew   = "from Redis, new to the replica"
	fromRedisSame  = "from Redis, unchanged"
	fromMemory     = "from memory"
)

// compareLists measures one reader that gets the active pulls in each of the ways. A replica leads, and so keeps the
// lists in Redis.
func compareLists(ctx context.Context, c *cluster, server *process, namespace string, n int, p pace) ([]*result, error) {
	settings, err := redisclient.Parse("redis://" + server.address)
	if err != nil {
		return nil, err
	}
	client := redisclient.New(settings, slog.Default(), prometheus.NewRegistry())
	defer client.Close()
	reader := c.reader(namespace)
	connected := func() *observed {
		return observe(source{reader}, client.Commands(), redisclient.Keys(redisPrefix, namespace))
	}

	expect := func(r cache.Result, err error) error {
		if err == nil && (r.Stale || len(r.Jobs) != n) {
			err = fmt.Errorf("%d pulls were listed, expected %d", len(r.Jobs), n)
		}
		return err
	}
	if err := awaitLists(ctx, connected, expect); err != nil {
		return nil, err
	}
	fresh, memory := connected(), cache.NewLists(connected().options)
	expiring := connected()
	expiringTurn, err := expiring.oneByOne(ctx, n, expect)
	if err != nil {
		return nil, err
	}
	cpu := []meter{server.cpu, ownCPU}
	results, err := p.compare(ctx,
		&candidate{name: fromKubernetes, length: 2 * p.turn(), cpu: []meter{c.cpu, ownCPU},
			turn: oneAfterTheOther(func(ctx context.Context) error {
				active, _, _, err := reader.Load(ctx)
				return expect(cache.Result{Jobs: active}, err)
			})},
		&candidate{name: fromRedisNew, length: p.turn(), cpu: cpu,
			turn: oneAfterTheOther(func(ctx context.Context) error {
				return expect(cache.NewLists(fresh.options).Active(ctx))
			})},
		&candidate{name: fromRedisSame, length: p.turn(), cpu: cpu, turn: expiringTurn},
		&candidate{name: fromMemory, length: p.turn() / 2, cpu: cpu,
			turn: oneAfterTheOther(func(ctx context.Context) error { return expect(memory.Active(ctx)) })},
	)
	return results, errors.Join(err, fresh.checkRedis(), expiring.checkRedis())
}

// awaitLists waits until a reader finds the lists in Redis. Readers that do not would load them one by one, each after it has
// waited for the one before.
func awaitLists(ctx context.Context, connected func() *observed, expect func(cache.Result, error) error) error {
	what := "a reader finds the lists in Redis, where their keys begin with " + connected().options.Keys
	return await(ctx, what, func(ctx context.Context) error {
		reader := connected()
		err := expect(cache.NewLists(reader.options).Active(ctx))
		return errors.Join(err, reader.checkRedis())
	})
}

// observed is what lists that read from Redis are made with, and counts where they have read from. Nothing runs them:
// what a read begins ends with it.
type observed struct {
	options cache.Options
	reads   *prometheus.Registry
}

func observe(kubernetes cache.Source, client redis.UniversalClient, keys string) *observed {
	registry := prometheus.NewRegistry()
	return &observed{reads: registry, options: cache.Options{
		Source: kubernetes, Local: stranger{}, Redis: client, Keys: keys,
		Metrics: cache.NewMetrics(registry), Log: slog.Default(),
	}}
}

// oneByOne returns a turn of one reader of many replicas that have the lists, but not from just now: each asks Redis
// whether they have changed. The reader takes one after the other, because none of them would ask again at once.
func (o *observed) oneByOne(ctx context.Context, n int, expect func(cache.Result, error) error) (turn, error) {
	const inMemory = 100_000 // pulls, in all replicas together
	replicas := make([]*cache.Lists, min(max(inMemory/n, 10), 200))
	err := within(ctx, startLimit, fmt.Sprintf("%d replicas read the lists", len(replicas)), func(ctx context.Context) error {
		for i := range replicas {
			replicas[i] = cache.NewLists(o.options)
			if err := replicas[i].Warm(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, _ time.Time, took func(time.Duration)) error {
		for _, replica := range replicas {
			began := time.Now()
			if err := expect(replica.Active(ctx)); err != nil {
				return err
			}
			took(time.Since(began))
		}
		return nil
	}, nil
}

// checkRedis returns an error when more than a few reads did not come from Redis, so that the figures are not of it.
func (o *observed) checkRedis() error {
	families, err := o.reads.Gather()
	if err != nil {
		return err
	}
	var all, redis float64
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() != "pullwatch_cache_reads_total" {
				continue
			}
			all += m.GetCounter().GetValue()
			for _, label := range m.GetLabel() {
				if label.GetName() == "tier" && label.GetValue() == "redis" {
					redis += m.GetCounter().GetValue()
				}
			}
		}
	}
	if redis < 0.95*all {
		return fmt.Errorf("only %.0f of %.0f reads came from Redis", redis, all)
	}
	return nil
}

// source loads the lists from Kubernetes when they are not in Redis.
type source struct{ reader *kube.Reader }

// Load implements cache.Source.
func (s source) Load(ctx context.Context) (snapshot cache.Snapshot, err error) {
	snapshot.Active, snapshot.Failed, snapshot.Version, err = s.reader.Load(ctx)
	return snapshot, err
}

// stranger is a replica that knows nothing of pulls but what Redis has.
type stranger struct{}

// Watching implements cache.Local.
func (stranger) Watching() bool { return false }

// Current implements cache.Local.
func (stranger) Current() bool { return false }

// Snapshot implements cache.Local.
func (stranger) Snapshot() cache.Snapshot { return cache.Snapshot{} }

// Changed implements cache.Local.
func (stranger) Changed() (<-chan struct{}, func()) { return nil, func() {} }
