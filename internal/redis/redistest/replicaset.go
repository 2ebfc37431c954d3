package redistest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// masterName is what Sentinel calls the master of a ReplicaSet.
const masterName = "main"

// ReplicaSet is a master and a replica that one Sentinel watches over.
type ReplicaSet struct {
	// Master is the master; Failover changes it. Replica is the other one at the start.
	Master, Replica *Server
	// Sentinel makes the replica the master within a few seconds after the master has not answered for half a second.
	Sentinel *Server

	t testing.TB
}

// StartReplicaSet starts a master, its replica and a Sentinel, and returns when a failover could be done. Otherwise it
// is like Start.
func StartReplicaSet(t testing.TB) *ReplicaSet {
	t.Helper()
	r := &ReplicaSet{t: t}
	// By default a master waits 5 s for more replicas before it serves the first.
	r.Master = Start(t, "--repl-diskless-sync-delay", "0")
	host, port, err := net.SplitHostPort(r.Master.Addr)
	if err != nil {
		t.Fatal(err)
	}
	r.Replica = Start(t, "--replicaof", host, port)
	config := fmt.Sprintf("sentinel monitor %[1]s %[2]s %[3]s 1\nsentinel down-after-milliseconds %[1]s 500\n",
		masterName, host, port)
	file := filepath.Join(t.TempDir(), "sentinel.conf")
	r.Sentinel = start(t, func(port int) []string {
		// Sentinel writes to its file what it has learned, which another attempt must not read.
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		return []string{file, "--sentinel", "--port", strconv.Itoa(port)}
	})
	eventually(t, "the replica follows the master", func() bool {
		info, err := r.Replica.Client().Info(t.Context(), "replication").Result()
		return err == nil && strings.Contains(info, "master_link_status:up")
	})
	sentinel := r.sentinel()
	eventually(t, "Sentinel knows the replica", func() bool {
		replicas, err := sentinel.Replicas(t.Context(), masterName).Result()
		return err == nil && len(replicas) == 1 &&
			replicas[0]["flags"] == "slave" && replicas[0]["master-link-status"] == "ok"
	})
	return r
}

func (r *ReplicaSet) sentinel() *redis.SentinelClient {
	client := redis.NewSentinelClient(&redis.Options{Addr: r.Sentinel.Addr})
	r.t.Cleanup(func() { _ = client.Close() })
	return client
}

// URL returns the URL under which Sentinel tells where the master is.
func (r *ReplicaSet) URL() string { return "redis+sentinel://" + r.Sentinel.Addr + "/" + masterName }

// Failover kills the master and returns when the replica is the master and Sentinel says so. It can be done once.
func (r *ReplicaSet) Failover() {
	r.t.Helper()
	r.Master.Kill()
	sentinel := r.sentinel()
	eventually(r.t, "the replica becomes the master", func() bool {
		address, err := sentinel.GetMasterAddrByName(r.t.Context(), masterName).Result()
		if err != nil || net.JoinHostPort(address[0], address[1]) != r.Replica.Addr {
			return false
		}
		info, err := r.Replica.Client().Info(r.t.Context(), "replication").Result()
		return err == nil && strings.Contains(info, "role:master")
	})
	r.Master, r.Replica = r.Replica, r.Master
}
