package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"gonum.org/v1/plot/plotter"

	"pullwatch/cache"
	"pullwatch/internal/pull"
	"pullwatch/internal/redis/redisclient"
	"pullwatch/internal/replica"
	"pullwatch/kube"
)

// The ways to get a list, in their order among the results.
const (
	fromKubernetes = iota
	fromRedisNew
	fromRedisSame
	fromMemory
	overHTTP
	overHTTPPlain
	polled
	polledPlain
)

// dashboardQuery is what a dashboard asks for.
const dashboardQuery = `{ activePulls { id phase image { name } destination { name } message progress { percent bytesPerSecond secondsLeft } createdAt } }`

const redisPrefix = "bench"

// pollers poll, each once a second.
const pollers = 100

// listRun measures lists with one number of pulls.
type listRun struct {
	*bench
	cluster *cluster
	redis   *process
	client  *redisclient.Client
	pulls   int

	source  *counted      // straight from Kubernetes
	options cache.Options // of readers
}

// lists measures how fast the active pulls are listed, with each number of pulls.
func (b *bench) lists(ctx context.Context, f *findings) error {
	c, err := b.connect(ctx)
	if err != nil {
		return err
	}
	f.kubernetes = c.version
	server, err := b.start("redis-server", func(host, port string) []string {
		return []string{"--bind", host, "--port", port, "--save", "", "--appendonly", "no"}
	})
	if err != nil {
		return err
	}
	settings, err := redisclient.Parse("redis://" + server.address)
	if err != nil {
		return err
	}
	client := redisclient.New(settings, slog.Default(), prometheus.NewRegistry())
	b.atEnd(func() { _ = client.Close() })

	head := []any{"target", "wanted"}
	goals := [][]any{
		{"p50 of a hit in Redis, content new to the replica, to Kubernetes'", "at most 1/5"},
		{"CPU of that hit, all processes, to Kubernetes'", "at most 1/5"},
		{"cached list reads a second, one reader", "10,000"},
		{"p95 of 100 clients that poll once a second", "below 10 ms"},
		{"their lists that needed no load from Kubernetes", "above 70%, ours 99%"},
	}
	row := f.table("pulls", "active pulls", "p50", "p95", "p99", "per second", "CPU ms each", "p50 to Kubernetes'")
	lines := make([]line, overHTTP)
	var columns []string
	for i, n := range b.Pulls {
		l := &listRun{bench: b, cluster: c, redis: server, client: client, pulls: n}
		var results []*result
		var hits string
		err := b.scope(func() (err error) {
			results, hits, err = l.measure(ctx)
			return err
		})
		if err != nil {
			return fmt.Errorf("with %d pulls: %w", n, err)
		}
		median := func(r *result) float64 { return r.percentile(50).Seconds() }
		for way, r := range results {
			row(thousands(n), r.name, round(r.percentile(50)), round(r.percentile(95)), round(r.percentile(99)), digits(r.perSecond()),
				digits(1000*r.cpuEach()), fraction(median(r)/median(results[fromKubernetes])))
			if way < len(lines) {
				lines[way].name = r.name
				lines[way].XYs = append(lines[way].XYs, plotter.XY{X: float64(i), Y: median(r)})
				lines[way].YErrors = append(lines[way].YErrors, struct{ Low, High float64 }{0, r.percentile(99).Seconds() - median(r)})
			}
		}
		polling := "cannot: " + digits(results[overHTTP].perSecond()) + " a second at most"
		if len(results) > polled {
			polling = round(results[polled].percentile(95))
		}
		for i, reached := range []string{
			fraction(median(results[fromRedisNew]) / median(results[fromKubernetes])),
			fraction(results[fromRedisNew].cpuEach() / results[fromKubernetes].cpuEach()),
			digits(results[fromMemory].perSecond()), polling, hits,
		} {
			goals[i] = append(goals[i], reached)
		}
		columns = append(columns, thousands(n)+" pulls")
		head = append(head, columns[i])
	}
	f.goals = newTable(head...)
	for _, goal := range goals {
		f.goals.AppendRow(goal)
	}
	chart, err := newChart("Time to list the active pulls", lines...)
	if err != nil {
		return err
	}
	chart.Y.Label.Text = "median, and a bar up to the 99th percentile"
	seconds(&chart.Y)
	chart.NominalX(columns...)
	f.charts["list-latency.svg"] = chart
	return nil
}

// measure returns the results in the order of the ways, and which part of the polled lists needed no load from Kubernetes. The
// polling is left out where the server cannot answer that often: then only its queue would be measured.
func (l *listRun) measure(ctx context.Context) (results []*result, hits string, err error) {
	l.tell("%d pulls: starting them", l.pulls)
	namespace, err := l.newNamespace(ctx, l.cluster)
	if err != nil {
		return nil, "", err
	}
	if err := l.cluster.fill(ctx, namespace, l.pulls); err != nil {
		return nil, "", err
	}
	l.source = &counted{Source: replica.Source{Reader: kube.NewReader(l.cluster.client, namespace, func(string) *pull.State { return nil })}}
	l.options = reads(l.source, l.client, redisclient.Keys(redisPrefix, namespace))

	l.tell("%d pulls: starting two replicas", l.pulls)
	flags := []string{"--redis-url=redis://" + l.redis.address, "--redis-prefix=" + redisPrefix, "--cluster-name=" + namespace}
	if _, err := l.startReplica(ctx, l.cluster, namespace, flags...); err != nil {
		return nil, "", err
	}
	if err := awaitLists(ctx, l.source, l.options, l.expect); err != nil { // which a leader writes
		return nil, "", err
	}
	follower, err := l.startReplica(ctx, l.cluster, namespace, flags...)
	if err != nil {
		return nil, "", err
	}
	l.tell("%d pulls: measuring lists", l.pulls)
	if results, err = l.compareReads(ctx); err != nil {
		return nil, "", err
	}
	l.tell("%d pulls: measuring HTTP", l.pulls)
	http, hits, err := l.compareHTTP(ctx, follower)
	return append(results, http...), hits, err
}

// reads returns the options of lists that are read from Redis, or else from source. Nobody runs these lists: each read does all its
// work itself.
func reads(source cache.Source, client *redisclient.Client, keys string) cache.Options {
	metrics := prometheus.NewRegistry()
	return cache.Options{
		Source: source, Local: stranger{}, Redis: client.Commands(), Blocking: client.Stream(), Keys: keys,
		Metrics: cache.NewMetrics(metrics), Logger: slog.Default(),
	}
}

// counted counts the loads of a Source.
type counted struct {
	cache.Source
	loads atomic.Int64
}

func (c *counted) Load(ctx context.Context) (cache.Snapshot, error) {
	c.loads.Add(1)
	return c.Source.Load(ctx)
}

// awaitLists waits until a reader finds the lists in Redis. Readers that do not find them would load them one by one, each after
// it has waited for the one before.
func awaitLists(ctx context.Context, source *counted, o cache.Options, expect func(cache.Result, error) error) error {
	return await(ctx, "a reader finds the lists in Redis, where their keys begin with "+o.Keys, func(ctx context.Context) error {
		before := source.loads.Load()
		err := expect(cache.NewLists(o).Active(ctx))
		if source.loads.Load() != before {
			err = errors.Join(err, errors.New("they came from Kubernetes"))
		}
		return err
	})
}

// compareReads measures one reader that gets the list in each of the ways.
func (l *listRun) compareReads(ctx context.Context) ([]*result, error) {
	memory := cache.NewLists(l.options)
	inTurn, err := l.inTurn(ctx)
	if err != nil {
		return nil, err
	}
	l.source.loads.Store(0)
	cpu := []meter{l.redis.cpu, ownCPU}
	results, err := l.compare(ctx,
		&candidate{name: "straight from Kubernetes", length: 2 * l.turn(), cpu: []meter{l.cluster.cpu, ownCPU},
			turn: repeat(func(ctx context.Context) error {
				snapshot, err := l.source.Source.Load(ctx)
				return l.expect(cache.Result{States: snapshot.Active}, err)
			})},
		&candidate{name: "from Redis, new to the replica", length: l.turn(), cpu: cpu,
			turn: repeat(func(ctx context.Context) error { return l.expect(cache.NewLists(l.options).Active(ctx)) })},
		&candidate{name: "from Redis, unchanged", length: l.turn(), cpu: cpu, turn: inTurn},
		&candidate{name: "from memory", length: l.turn() / 2, cpu: cpu,
			turn: repeat(func(ctx context.Context) error { return l.expect(memory.Active(ctx)) })},
	)
	if err != nil {
		return nil, err
	}
	for _, r := range results[fromRedisNew : fromRedisSame+1] {
		if loads, all := l.source.loads.Load(), r.times.TotalCount(); loads > all/20 {
			return nil, fmt.Errorf("%d of %d reads came from Kubernetes instead of Redis", loads, all)
		}
	}
	return results, nil
}

// inTurn returns a turn of one reader of many replicas that have had the lists for a while: each asks Redis whether they have
// changed. None of them would ask again at once.
func (l *listRun) inTurn(ctx context.Context) (turn, error) {
	const inMemory = 100_000 // pulls, in all replicas together
	replicas := make([]*cache.Lists, min(max(inMemory/l.pulls, 10), 200))
	for i := range replicas {
		replicas[i] = cache.NewLists(l.options)
		if err := within(ctx, startLimit, "read the lists", replicas[i].Warm); err != nil {
			return nil, err
		}
	}
	return func(ctx context.Context, _ time.Time, took func(time.Duration)) error {
		for _, replica := range replicas {
			began := time.Now()
			if err := l.expect(replica.Active(ctx)); err != nil {
				return err
			}
			took(time.Since(began))
		}
		return nil
	}, nil
}

// expect returns an error unless all pulls were listed.
func (l *listRun) expect(r cache.Result, err error) error {
	if err == nil && (r.Stale || len(r.States) != l.pulls) {
		err = fmt.Errorf("%d pulls were listed, expected %d", len(r.States), l.pulls)
	}
	return err
}

// stranger is a replica that knows nothing of pulls but what Redis has.
type stranger struct{}

func (stranger) Watching() bool                     { return false }
func (stranger) Current() bool                      { return false }
func (stranger) Snapshot() cache.Snapshot           { return cache.Snapshot{} }
func (stranger) Latest(string) *pull.State          { return nil }
func (stranger) Changed() (<-chan struct{}, func()) { return nil, func() {} }

// compareHTTP measures the list through a whole server, and the same bytes written by net/http.
func (l *listRun) compareHTTP(ctx context.Context, server *process) (results []*result, hits string, err error) {
	var body []byte
	err = await(ctx, "the server lists all pulls", func(ctx context.Context) error {
		body, err = askOnce(ctx, server.address, dashboardQuery)
		if found := bytes.Count(body, []byte(`"id":`)); err == nil && found != l.pulls {
			err = fmt.Errorf("it lists %d of %d", found, l.pulls)
		}
		return err
	})
	if err != nil {
		return nil, "", err
	}
	plain, err := l.contendWith(netHTTP, netHTTP, body, 0)
	if err != nil {
		return nil, "", err
	}
	results, err = l.compare(ctx,
		&candidate{name: "HTTP, 4 callers", length: l.turn(), cpu: []meter{server.cpu}, turn: calls(server.address, dashboardQuery, 4)},
		&candidate{name: "the same bytes by net/http", length: l.turn(), cpu: []meter{plain.cpu}, turn: calls(plain.address, dashboardQuery, 4)},
	)
	if err != nil || results[0].perSecond() < pollers {
		return results, unknown, err
	}
	reads := func(tier ...string) float64 {
		n, readsErr := server.metric(ctx, "pullwatch_cache_reads_total", append(tier, "active")...)
		err = errors.Join(err, readsErr)
		return n
	}
	length := max(3*l.turn(), time.Second) // for each of them to ask
	all, loads := reads(), reads("kubernetes")
	polls, pollsErr := l.compare(ctx,
		&candidate{name: "HTTP, 100 clients once a second", length: length, cpu: []meter{server.cpu},
			turn: polls(server.address, dashboardQuery, pollers, time.Second)},
		&candidate{name: "the same bytes by net/http, polled", length: length, cpu: []meter{plain.cpu},
			turn: polls(plain.address, dashboardQuery, pollers, time.Second)},
	)
	hits = fmt.Sprintf("%.2f%%", 100*(1-(reads("kubernetes")-loads)/(reads()-all)))
	return append(results, polls...), hits, errors.Join(err, pollsErr)
}
