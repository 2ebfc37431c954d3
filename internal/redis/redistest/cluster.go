package redistest

import (
	"net"
	"strconv"
	"strings"
	"testing"
)

// slots is how many hash slots a cluster has.
const slots = 16384

// Cluster is a Redis Cluster of three masters without replicas.
type Cluster struct {
	// Servers have the first, the second and the last third of the hash slots.
	Servers []*Server
}

// StartCluster is Start for a Redis Cluster. It returns when all of its servers say that the cluster works.
func StartCluster(t testing.TB) *Cluster {
	t.Helper()
	const masters = 3
	c := new(Cluster)
	for i := range masters {
		s := start(t, func(port int) []string {
			return []string{"--port", strconv.Itoa(port), "--cluster-port", strconv.Itoa(freePort(t)),
				"--cluster-enabled", "yes", "--cluster-node-timeout", "2000"}
		})
		ctx := t.Context()
		// Servers with the same epoch would first have to agree which one keeps it.
		if err := s.Client().Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", i+1).Err(); err != nil {
			t.Fatal(err)
		}
		if err := s.Client().ClusterAddSlotsRange(ctx, i*slots/masters, (i+1)*slots/masters-1).Err(); err != nil {
			t.Fatal(err)
		}
		c.Servers = append(c.Servers, s)
	}
	for _, s := range c.Servers[1:] {
		c.meet(t, s)
	}
	for _, s := range c.Servers {
		eventually(t, "the cluster works", func() bool {
			info, err := s.Client().ClusterInfo(t.Context()).Result()
			return err == nil && strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_size:3")
		})
	}
	return c
}

// meet makes the first server and s know each other.
func (c *Cluster) meet(t testing.TB, s *Server) {
	t.Helper()
	host, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	bus, err := s.Client().ConfigGet(t.Context(), "cluster-port").Result()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Servers[0].Client().Do(t.Context(), "CLUSTER", "MEET", host, port, bus["cluster-port"]).Err(); err != nil {
		t.Fatal(err)
	}
}

// URL returns the URL of the cluster.
func (c *Cluster) URL() string {
	var addresses []string
	for _, s := range c.Servers {
		addresses = append(addresses, s.Addr)
	}
	return "redis+cluster://" + strings.Join(addresses, ",")
}
