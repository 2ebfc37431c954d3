package redisclient

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"pullwatch/internal/redis/redistest"
)

func TestMain(m *testing.M) { redistest.VerifyTestMain(m) }

// fixture is a client with what it logs and its metrics.
type fixture struct {
	*Client
	t       *testing.T
	metrics *prometheus.Registry

	mu     sync.Mutex
	logged bytes.Buffer
}

// Write takes what the client logs.
func (f *fixture) Write(line []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.logged.Write(line)
}

func newFixture(t *testing.T, url string) *fixture {
	t.Helper()
	s, err := Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, metrics: prometheus.NewRegistry()}
	f.Client = New(s, slog.New(slog.NewTextHandler(f, nil)), f.metrics)
	t.Cleanup(func() {
		if err := f.Close(); err != nil && !errors.Is(err, redis.ErrClosed) {
			t.Error(err)
		}
	})
	return f
}

// ping sends a command with a short deadline, as callers do.
func (f *fixture) ping() error {
	ctx, cancel := context.WithTimeout(f.t.Context(), 500*time.Millisecond)
	defer cancel()
	return f.Commands().Ping(ctx).Err()
}

// wantAway makes calls until the breaker opens. The third one has to open it at the latest.
func (f *fixture) wantAway(call func() error) {
	f.t.Helper()
	for range 3 {
		if err := call(); err == nil {
			f.t.Error("no error")
		}
	}
	if err := call(); !errors.Is(err, ErrAway) || !f.away() {
		f.t.Errorf("away: %v, error: %v", f.away(), err)
	}
}

// awaitBack makes calls until one succeeds.
func (f *fixture) awaitBack(call func() error) {
	f.t.Helper()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	timeout := time.NewTimer(20 * time.Second)
	defer timeout.Stop()
	for {
		err := call()
		if err == nil {
			return
		}
		select {
		case <-ticker.C:
		case <-timeout.C:
			f.t.Fatal("does not come back: ", err)
		}
	}
}

// wantLog checks that the client logged these lines, of which want has parts, and no others.
func (f *fixture) wantLog(want ...string) {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	lines := strings.Split(strings.TrimSuffix(f.logged.String(), "\n"), "\n")
	if len(lines) != len(want) {
		f.t.Fatalf("logged:\n%s", f.logged.String())
	}
	for i := range want {
		if !strings.Contains(lines[i], want[i]) {
			f.t.Errorf("logged %s; want something with %q", lines[i], want[i])
		}
	}
}

// metric returns the sum of a metric's values that have a label with this value.
func (f *fixture) metric(name, label string) float64 {
	f.t.Helper()
	families, err := f.metrics.Gather()
	if err != nil {
		f.t.Fatal(err)
	}
	sum := 0.0
	for _, family := range families {
		for _, metric := range family.Metric {
			for _, pair := range metric.Label {
				if family.GetName() == name && pair.GetValue() == label {
					sum += metric.Gauge.GetValue() + metric.Counter.GetValue()
				}
			}
		}
	}
	return sum
}

func TestAServerThatIsAwayIsNotAskedUntilItIsBack(t *testing.T) {
	server := redistest.Start(t)
	f := newFixture(t, server.URL())
	f.awaitBack(f.ping)
	if n := f.metric("pullwatch_redis_pool_connections", "commands"); n < 1 {
		t.Errorf("%v connections", n)
	}
	server.Kill()
	f.wantAway(f.ping)
	server.Restart()
	f.awaitBack(f.ping)
	f.wantLog("level=WARN", `msg="a service is back" service=redis`)
}

func TestAHangingServerCostsThreeDeadlinesAtMost(t *testing.T) {
	server := redistest.Start(t)
	f := newFixture(t, server.URL())
	f.awaitBack(f.ping)
	server.Pause()
	f.wantAway(f.ping)
	if n := f.metric("pullwatch_redis_errors_total", "timeout"); n != 3 {
		t.Errorf("%v timeouts counted", n)
	}
	server.Resume()
	f.awaitBack(f.ping)
}

func TestStreamCommandsAreSentWhileRedisIsAway(t *testing.T) {
	server := redistest.Start(t)
	f := newFixture(t, server.URL())
	server.Kill()
	f.wantAway(f.ping)
	if err := f.Stream().Ping(t.Context()).Err(); err == nil || errors.Is(err, ErrAway) {
		t.Errorf("while Redis is away: %v", err)
	}
	server.Restart()
	f.awaitBack(func() error { return f.Stream().Ping(t.Context()).Err() })
}

func TestAWrongPasswordCountsAsAwayAndIsNotLogged(t *testing.T) {
	server := redistest.Start(t, "--user", "app", "on", ">right", "~*", "+@all")
	address := strings.TrimPrefix(server.URL(), "redis://")
	wrong := newFixture(t, "redis://app:Xyzzy@"+address)
	wrong.wantAway(wrong.ping)
	wrong.wantLog("WRONGPASS")
	if n := wrong.metric("pullwatch_redis_errors_total", "reply"); n != 3 {
		t.Errorf("%v replies counted", n)
	}
	if strings.Contains(wrong.logged.String(), "Xyzzy") {
		t.Errorf("the password is logged: %s", wrong.logged.String())
	}
	right := newFixture(t, "redis://app:right@"+address)
	if name, err := right.Commands().Do(t.Context(), "ACL", "WHOAMI").Text(); name != "app" || err != nil {
		t.Errorf("logged in as %q, %v", name, err)
	}
}

func TestAServerOutOfMemoryCountsAsAway(t *testing.T) {
	server := redistest.Start(t, "--maxmemory", "1")
	f := newFixture(t, server.URL())
	f.wantAway(func() error { return f.Commands().Set(t.Context(), "key", "value", 0).Err() })
	f.wantLog("OOM")
	if n := f.metric("pullwatch_redis_errors_total", "reply"); n != 3 {
		t.Errorf("%v replies counted", n)
	}
}

func TestWrongRequestsAndMissesDoNotCountAsAway(t *testing.T) {
	server := redistest.Start(t)
	f := newFixture(t, server.URL())
	ctx := t.Context()
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	expired, cancel := context.WithDeadline(ctx, time.Now().Add(-time.Second))
	defer cancel()
	for range 5 {
		if err := f.Commands().Get(ctx, "missing").Err(); !errors.Is(err, redis.Nil) {
			t.Fatal(err)
		}
		if err := f.Commands().EvalSha(ctx, strings.Repeat("0", 40), nil).Err(); !errors.Is(err, redis.ErrNoScript) {
			t.Fatal(err)
		}
		if err := f.Commands().Do(ctx, "NONSENSE").Err(); err == nil || errors.Is(err, ErrAway) {
			t.Fatal(err)
		}
		if err := f.Commands().Ping(canceled).Err(); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if err := f.Commands().Ping(expired).Err(); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
	}
	if f.away() {
		t.Error("away")
	}
}

func TestAPipelineCountsAsFailedIfOneOfItsCommandsDoes(t *testing.T) {
	server := redistest.Start(t, "--maxmemory", "1")
	f := newFixture(t, server.URL())
	var missing, set redis.Cmder
	pipeline := func() error {
		_, err := f.Commands().Pipelined(t.Context(), func(p redis.Pipeliner) error {
			missing, set = p.Get(t.Context(), "missing"), p.Set(t.Context(), "key", "value", 0)
			return nil
		})
		return err
	}
	if err := pipeline(); !errors.Is(err, redis.Nil) || !redis.IsOOMError(set.Err()) {
		t.Fatalf("pipeline: %v, command: %v", err, set.Err())
	}
	f.wantAway(pipeline)
	if !errors.Is(missing.Err(), ErrAway) || !errors.Is(set.Err(), ErrAway) {
		t.Errorf("commands: %v, %v", missing.Err(), set.Err())
	}
}

func TestABlockingReadMayTakeLongerThanTheReadTimeout(t *testing.T) {
	server := redistest.Start(t)
	f := newFixture(t, server.URL()+"?read_timeout=50ms")
	read := &redis.XReadArgs{Streams: []string{"stream", "$"}, Block: 200 * time.Millisecond}
	if err := f.Stream().XRead(t.Context(), read).Err(); !errors.Is(err, redis.Nil) {
		t.Errorf("read: %v", err)
	}
}

func TestCloseEndsABlockingRead(t *testing.T) {
	server := redistest.Start(t)
	f := newFixture(t, server.URL())
	ended := make(chan error, 1)
	go func() {
		ended <- f.Stream().XRead(context.Background(), &redis.XReadArgs{Streams: []string{"stream", "$"}}).Err()
	}()
	f.awaitBack(func() error {
		blocked, err := server.Client().Info(t.Context(), "clients").Result()
		if err == nil && !strings.Contains(blocked, "blocked_clients:1") {
			err = errors.New("the read does not block yet")
		}
		return err
	})
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil || errors.Is(err, redis.Nil) {
		t.Errorf("the read ended with %v", err)
	}
}

func TestTLSNeedsATrustedCertificate(t *testing.T) {
	server, caFile := redistest.StartTLS(t)
	ca := "?tls_ca=" + caFile
	for _, parameters := range []string{ca, ca + "&tls_server_name=localhost", "?skip_verify=true"} {
		f := newFixture(t, server.URL()+parameters)
		if err := f.Commands().Ping(t.Context()).Err(); err != nil {
			t.Errorf("%s: %v", parameters, err)
		}
	}
	for _, parameters := range []string{"", ca + "&tls_server_name=other.example"} {
		f := newFixture(t, server.URL()+parameters)
		if err := f.Commands().Ping(t.Context()).Err(); err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("%q: %v", parameters, err)
		}
	}
}

func TestFollowsSentinelToTheNewMaster(t *testing.T) {
	replicas := redistest.StartReplicaSet(t)
	f := newFixture(t, replicas.URL())
	set := func() error { return f.Commands().Set(t.Context(), "key", "value", 0).Err() }
	if err := set(); err != nil {
		t.Fatal(err)
	}
	replicas.Failover()
	f.awaitBack(set)
	f.awaitBack(func() error { return f.Stream().Ping(t.Context()).Err() })
	if value, err := replicas.Master.Client().Get(t.Context(), "key").Result(); value != "value" || err != nil {
		t.Errorf("the new master has %q, %v", value, err)
	}
}

func TestClusterServesKeysOfOneTag(t *testing.T) {
	cluster := redistest.StartCluster(t)
	f := newFixture(t, cluster.URL())
	ctx := t.Context()
	for _, tag := range []string{"{a}", "{b}", "{c}", "{d}", "{e}"} {
		keys := []string{tag + "1", tag + "2"}
		both := redis.NewScript(`redis.call("SET", KEYS[1], "x") return redis.call("INCR", KEYS[2])`)
		if n, err := both.Run(ctx, f.Commands(), keys).Int(); n != 1 || err != nil {
			t.Errorf("script: %d, %v", n, err)
		}
		stream := tag + "stream"
		if err := f.Stream().XAdd(ctx, &redis.XAddArgs{Stream: stream, Values: []string{"k", "v"}}).Err(); err != nil {
			t.Error(err)
		}
		read := &redis.XReadArgs{Streams: []string{stream, "0"}, Block: time.Second}
		if got, err := f.Stream().XRead(ctx, read).Result(); len(got) != 1 || err != nil {
			t.Errorf("stream: %v, %v", got, err)
		}
	}
}
