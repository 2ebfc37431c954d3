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
	// Master and Replica change places in Failover.
	Master, Replica *Server
	// Sentinel promotes the replica within seconds once the master has not answered for half a second.
	Sentinel *Server

	t testing.TB
}

// StartReplicaSet is Start for a master, its replica and a Sentinel. It returns when a failover is possible.
func StartReplicaSet(t testing.TB) *ReplicaSet {
	t.Helper()
	r := &ReplicaSet{t: t}
	// By default a master waits 5 s for more replicas before it sends its data to the first one.
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
		// Sentinel changes its file. Another try, on another port, must begin with a new one.
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

// URL returns the URL by which clients ask Sentinel for the master.
func (r *ReplicaSet) URL() string { return "redis+sentinel://" + r.Sentinel.Addr + "/" + masterName }

// Failover kills the master and returns when Sentinel has promoted the replica. It works once.
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
