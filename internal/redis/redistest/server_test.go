package redistest

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestMain(m *testing.M) { VerifyTestMain(m) }

func TestServerComesBackEmpty(t *testing.T) {
	s := Start(t)
	ctx := t.Context()
	if err := s.Client().Set(ctx, "key", "value", 0).Err(); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	if err := s.Client().Ping(ctx).Err(); err == nil {
		t.Error("answers although it was killed")
	}
	s.Restart()
	if n, err := s.Client().DBSize(ctx).Result(); n != 0 || err != nil {
		t.Errorf("%d keys, %v", n, err)
	}
}

func TestPausedServerHangs(t *testing.T) {
	s := Start(t)
	impatient := redis.NewClient(&redis.Options{Addr: s.Addr, ReadTimeout: 100 * time.Millisecond, MaxRetries: -1})
	t.Cleanup(func() { _ = impatient.Close() })
	s.Pause()
	var timeout net.Error
	if err := impatient.Ping(t.Context()).Err(); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("while it is paused: %v", err)
	}
	s.Resume()
	if err := s.Client().Ping(t.Context()).Err(); err != nil {
		t.Error(err)
	}
}

func TestTLSServerAnswersWithTLSOnly(t *testing.T) {
	s, _ := StartTLS(t)
	if err := s.Client().Ping(t.Context()).Err(); err != nil {
		t.Error(err)
	}
	plain := *s
	plain.tls, plain.client = nil, nil
	if err := plain.Client().Ping(t.Context()).Err(); err == nil {
		t.Error("answers without TLS")
	}
}

func TestReplicaTakesOverWithTheData(t *testing.T) {
	r := StartReplicaSet(t)
	ctx := t.Context()
	if err := r.Master.Client().Set(ctx, "key", "value", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if n, err := r.Master.Client().Wait(ctx, 1, time.Second).Result(); n != 1 || err != nil {
		t.Fatalf("%d replicas have the key, %v", n, err)
	}
	before := r.Master
	r.Failover()
	if r.Master == before {
		t.Fatal("the master is the same")
	}
	if value, err := r.Master.Client().Get(ctx, "key").Result(); value != "value" || err != nil {
		t.Errorf("%q, %v", value, err)
	}
}

func TestClusterServersShareTheKeys(t *testing.T) {
	c := StartCluster(t)
	served := 0
	for _, s := range c.Servers {
		if err := s.Client().Set(t.Context(), "key", "value", 0).Err(); err == nil {
			served++
		} else if !redis.HasErrorPrefix(err, "MOVED") {
			t.Error(err)
		}
	}
	if served != 1 {
		t.Errorf("%d servers have the key's slot", served)
	}
}
