package chaos

import (
	"net"
	"testing"

	"github.com/redis/go-redis/v9"

	"pullwatch/internal/redis/redistest"
)

// Kinds of Redis.
const (
	alone    = "one"
	sentinel = "sentinel"
	sharded  = "cluster"
	allKinds = alone + "," + sentinel + "," + sharded
)

// redisServers is the Redis of a run.
type redisServers struct {
	kind    string
	servers []*redistest.Server
	// url is empty where each replica has a proxy to the only server.
	url string
	// watcher is the Sentinel, nil for other kinds.
	watcher *redis.SentinelClient
}

// masterName is what redistest calls the master that a Sentinel watches over.
const masterName = "main"

func startRedis(t *testing.T, kind string) *redisServers {
	t.Helper()
	r := &redisServers{kind: kind}
	switch kind {
	case alone:
		r.servers = []*redistest.Server{redistest.Start(t)}
	case sentinel:
		set := redistest.StartReplicaSet(t)
		r.servers, r.url = []*redistest.Server{set.Master, set.Replica}, set.URL()
		r.watcher = redis.NewSentinelClient(&redis.Options{Addr: set.Sentinel.Addr})
		t.Cleanup(func() { _ = r.watcher.Close() })
		// By default a failover that has failed is tried again after minutes.
		if err := r.watcher.Set(t.Context(), masterName, "failover-timeout", "5000").Err(); err != nil {
			t.Fatal(err)
		}
	case sharded:
		c := redistest.StartCluster(t)
		r.servers, r.url = c.Servers, c.URL()
	default:
		t.Fatalf("no kind of Redis: %q", kind)
	}
	return r
}

// master returns the server that the replicas write to.
func (r *redisServers) master(t *testing.T) *redistest.Server {
	t.Helper()
	switch r.kind {
	case sentinel:
		address, err := r.watcher.GetMasterAddrByName(t.Context(), masterName).Result()
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range r.servers {
			if s.Addr == net.JoinHostPort(address[0], address[1]) {
				return s
			}
		}
	case sharded:
		for _, s := range r.servers {
			if keys, err := s.Client().DBSize(t.Context()).Result(); err == nil && keys > 0 {
				return s
			}
		}
	}
	return r.servers[0]
}
