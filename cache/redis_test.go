package cache

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"pullwatch/internal/redis/redisclient"
	"pullwatch/internal/redis/redistest"
)

const testKeys = "pullwatch:{test}:v1:"

// trips counts the round trips to Redis for lists. go-redis makes others when it connects.
type trips struct{ n atomic.Int64 }

func (*trips) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *trips) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if strings.HasPrefix(cmd.Name(), "eval") {
			h.n.Add(1)
		}
		return next(ctx, cmd)
	}
}

func (*trips) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// newReplica returns the Lists of another replica, which uses the Redis at url.
func newReplica(t testing.TB, url string, o Options) (l *Lists, stop func()) {
	t.Helper()
	settings, err := redisclient.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	client := redisclient.New(settings, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	o.Redis, o.Blocking, o.Keys = client.Commands(), client.Stream(), testKeys
	l, stop = newLists(t, o)
	l.redis.timeout = 10 * time.Second
	return l, stop
}

// eventually waits until condition is true: until Redis or a replica has done what it does on its own.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for !condition() {
		select {
		case <-ctx.Done():
			t.Fatalf("never: %s", what)
		case <-again.C:
		}
	}
}

// inRedis returns the version of a list in Redis, "" for none.
func inRedis(t testing.TB, s *redistest.Server, k kind) string {
	version, _ := s.Client().HGet(t.Context(), testKeys+k.String(), "version").Result()
	return strings.TrimLeft(version, "0")
}

// age makes the lists in Redis older, as if so much time had passed.
func age(t testing.TB, s *redistest.Server, by time.Duration) {
	t.Helper()
	for k := range kinds {
		key := testKeys + k.String()
		left := s.Client().PTTL(t.Context(), key).Val()
		if !s.Client().PExpire(t.Context(), key, left-by).Val() {
			t.Fatalf("%s is not there", key)
		}
	}
}

func TestReplicasShareALoad(t *testing.T) {
	server := redistest.Start(t)
	first, second := &source{}, &source{}
	a, _ := newReplica(t, server.URL(), Options{Source: first})
	b, _ := newReplica(t, server.URL(), Options{Source: second})
	expect(t, a, active, 1, tierKubernetes)
	eventually(t, "filled", func() bool { return inRedis(t, server, failed) == "1" })
	expect(t, b, active, 1, tierRedis)
	expire(b, memoryTTL)
	expect(t, b, failed, 1, tierRedis)

	age(t, server, ActiveTTL)
	expire(b, memoryTTL)
	expect(t, b, failed, 1, tierRedis)
	second.version.Store(6)
	expect(t, b, active, 7, tierKubernetes)
	eventually(t, "replaced", func() bool { return inRedis(t, server, active) == "7" })
	if first.loads.Load() != 1 || second.loads.Load() != 1 {
		t.Errorf("%d and %d loads", first.loads.Load(), second.loads.Load())
	}
}

func TestBothListsCostOneRoundTrip(t *testing.T) {
	server := redistest.Start(t)
	a, _ := newReplica(t, server.URL(), Options{Source: &source{}})
	expect(t, a, active, 1, tierKubernetes)
	eventually(t, "filled", func() bool { return inRedis(t, server, failed) != "" })
	b, _ := newReplica(t, server.URL(), Options{Source: &source{}})
	var count trips
	b.redis.client.AddHook(&count)
	var wg sync.WaitGroup
	for range 20 {
		for k := range kinds {
			wg.Go(func() { _, _, _ = b.find(t.Context(), k) })
		}
	}
	wg.Wait()
	expect(t, b, active, 1, tierMemory)
	b.refresh(requirement{}) // as by a read that looked in memory before the round trip ended and goes on after it
	if n := count.n.Load(); n != 1 {
		t.Errorf("%d round trips", n)
	}
	was := b.memory[active].Load()
	expire(b, memoryTTL)
	expect(t, b, active, 1, tierRedis)
	if now := b.memory[active].Load(); now == was || &now.states[0] != &was.states[0] || count.n.Load() != 2 {
		t.Errorf("unchanged lists were sent again, or in %d round trips", count.n.Load()-1)
	}
}

func TestColdReplicasMakeOneLoad(t *testing.T) {
	server := redistest.Start(t)
	s := &source{slow: make(chan struct{})}
	var wg sync.WaitGroup
	for range 8 {
		l, _ := newReplica(t, server.URL(), Options{Source: s})
		wg.Go(func() {
			r, err := l.Active(t.Context())
			if err != nil || len(r.States) != 1 {
				t.Errorf("%d pulls, %v", len(r.States), err)
			}
		})
	}
	blocked := func() bool {
		info, err := server.Client().Info(t.Context(), "clients").Result()
		return err == nil && strings.Contains(info, "blocked_clients:7\r\n")
	}
	eventually(t, "all but one wait for its load", blocked)
	close(s.slow)
	wg.Wait()
	if n := s.loads.Load(); n != 1 {
		t.Errorf("%d loads", n)
	}
}

// blocks notes commands that block.
type blocks struct{ seen atomic.Bool }

func (*blocks) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *blocks) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if slices.Contains(cmd.Args(), any("block")) {
			h.seen.Store(true)
		}
		return next(ctx, cmd)
	}
}

func (*blocks) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// Of the client for commands a call that blocks would keep a connection, and its late answer would be taken for an outage.
func TestTheWaitForAnotherReplicasLoadDoesNotBlockAConnectionForCommands(t *testing.T) {
	server := redistest.Start(t)
	if err := server.Client().Set(t.Context(), testKeys+"lease:lists", "dead", leaseTTL).Err(); err != nil {
		t.Fatal(err)
	}
	l, _ := newReplica(t, server.URL(), Options{Source: &source{}})
	var commands, blocking blocks
	l.redis.client.AddHook(&commands)
	l.redis.blocking.AddHook(&blocking)
	expect(t, l, active, 1, tierKubernetes)
	if commands.seen.Load() || !blocking.seen.Load() {
		t.Errorf("waited on the client for commands: %t, on the other one: %t", commands.seen.Load(), blocking.seen.Load())
	}
}

func TestAnotherReplicaLoadsWhenTheFirstFails(t *testing.T) {
	server := redistest.Start(t)
	bad, good := &source{slow: make(chan struct{})}, &source{}
	bad.fails.Store(true)
	a, _ := newReplica(t, server.URL(), Options{Source: bad})
	b, _ := newReplica(t, server.URL(), Options{Source: good})
	refused := make(chan error, 1)
	go func() {
		_, err := a.Active(t.Context())
		refused <- err
	}()
	eventually(t, "one loads", func() bool { return bad.loads.Load() == 1 })
	go close(bad.slow)
	expect(t, b, active, 1, tierKubernetes)
	if err := <-refused; err == nil {
		t.Error("the first did not fail")
	}
}

func TestALeaseThatIsNeverReleasedExpires(t *testing.T) {
	server := redistest.Start(t)
	if err := server.Client().Set(t.Context(), testKeys+"lease:lists", "dead", leaseTTL).Err(); err != nil {
		t.Fatal(err)
	}
	l, _ := newReplica(t, server.URL(), Options{Source: &source{}})
	expect(t, l, active, 1, tierKubernetes)
}

func TestAListFromRedisShowsMutationsThatReturnedBefore(t *testing.T) {
	server := redistest.Start(t)
	_, leader := newLeader(t, server.URL())
	leader.know(3)
	eventually(t, "written", func() bool { return inRedis(t, server, active) == "3" })
	s, w := &source{}, newLocal()
	l, _ := newReplica(t, server.URL(), Options{Source: s, Local: w})
	expect(t, l, active, 3, tierRedis)
	l.Require(4)
	w.current.Store(true)
	w.know(4) // the mutation has come back by the shared log
	expect(t, l, active, 4, tierWatch)
	w.current.Store(false)
	l.Require(5)
	s.version.Store(4)
	expect(t, l, active, 5, tierKubernetes)
	leader.know(6)
	eventually(t, "written", func() bool { return inRedis(t, server, active) == "6" })
	expire(l, memoryTTL)
	expect(t, l, active, 6, tierRedis)
}

func TestTheDocumentedRedisUserHasAllRights(t *testing.T) {
	server := redistest.Start(t)
	url := "redis://" + redistest.AllowUser(t, "../docs/operating.md", server) + server.Addr
	s := &source{}
	cold, _ := newReplica(t, url, Options{Source: s})
	if _, err := cold.Active(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "what was loaded is in Redis", func() bool {
		return server.Client().Exists(t.Context(), testKeys+"active").Val() == 1
	})
	warm, _ := newReplica(t, url, Options{Source: s})
	if _, err := warm.Active(t.Context()); err != nil || s.loads.Load() != 1 {
		t.Errorf("%v after %d loads from Kubernetes; the second read was to find the first one's in Redis", err, s.loads.Load())
	}
}
