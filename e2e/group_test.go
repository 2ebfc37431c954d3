package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"pullwatch/e2e/harness"
)

// group is some replicas that share a namespace and a Redis.
type group struct {
	namespace string
	replicas  []*replica
}

// replica is a server with its own ways to the API server and to Redis.
type replica struct {
	*server
	api   *proxy
	redis *proxy // nil where the replica finds its Redis by itself
	// outages counts when the test stopped the process and when it let it go on: it is odd while the process is stopped.
	outages atomic.Int32
}

// startGroup starts replicas and waits until they are ready and one of them leads. redisURL is that of each one's Redis
// by the address to reach it at; with an empty address each replica reaches it through a proxy of its own.
func startGroup(t *testing.T, namespace string, size int, redisAddress, redisURL string, flags ...string) *group {
	t.Helper()
	g := &group{namespace: namespace}
	for range size {
		r := &replica{api: env.NewProxy(t)}
		url := redisURL
		if redisAddress != "" {
			r.redis = harness.NewProxy(t, redisAddress)
			url = "redis://" + r.redis.Address
		}
		r.server = launch(t, namespace, append([]string{"--kubeconfig=" + env.KubeconfigVia(t, r.api), "--redis-url=" + url}, flags...)...)
		g.replicas = append(g.replicas, r)
	}
	for _, r := range g.replicas {
		eventually(t, "the replica is ready", func() bool { return r.Status(t, "/readyz") == http.StatusOK })
	}
	g.awaitLeader(t, nil)
	return g
}

// up reports whether the process runs.
func (r *replica) up() bool { return r.outages.Load()%2 == 0 }

// signal sends a signal after which the process answers nobody.
func (r *replica) signal(t *testing.T, signal syscall.Signal) {
	t.Helper()
	r.outages.Add(1)
	r.Signal(t, signal)
}

// resume lets a process that got SIGSTOP go on.
func (r *replica) resume(t *testing.T) {
	t.Helper()
	r.Signal(t, syscall.SIGCONT)
	r.outages.Add(1)
}

// living returns the replicas whose process runs.
func (g *group) living() []*replica {
	var living []*replica
	for _, r := range g.replicas {
		if r.up() {
			living = append(living, r)
		}
	}
	return living
}

// leader returns the replica that leads; nil while none does, or more than one says so.
func (g *group) leader(t *testing.T) *replica {
	t.Helper()
	var leader *replica
	for _, r := range g.living() {
		if r.gauge(t, "pullwatch_leader") == 0 {
			continue
		}
		if leader != nil {
			return nil
		}
		leader = r
	}
	return leader
}

// awaitLeader waits until one replica leads that is not but, and returns it.
func (g *group) awaitLeader(t *testing.T, but *replica) *replica {
	t.Helper()
	var leader *replica
	eventually(t, "one replica leads", func() bool {
		leader = g.leader(t)
		return leader != nil && leader != but
	})
	return leader
}

// followers returns the living replicas that do not lead.
func (g *group) followers(t *testing.T) []*replica {
	t.Helper()
	var followers []*replica
	for _, r := range g.living() {
		if r.gauge(t, "pullwatch_leader") == 0 {
			followers = append(followers, r)
		}
	}
	return followers
}

// start starts pulls, through all replicas at once, and returns their ids.
func (g *group) start(t *testing.T, images []string) []string {
	t.Helper()
	const most = 100 // in one call
	started := make([][]startResult, len(g.replicas))
	var starting sync.WaitGroup
	share := min(most, (len(images)+len(g.replicas)-1)/len(g.replicas))
	for i, r := range g.replicas {
		mine := images[min(len(images), i*share):min(len(images), (i+1)*share)]
		if len(mine) > 0 {
			starting.Go(func() { started[i] = r.start(t, mine...) })
		}
	}
	starting.Wait()
	var ids []string
	for _, results := range started {
		for _, result := range results {
			if result.Error != nil {
				t.Fatalf("start %s: %+v", result.Image, result.Error)
			}
			ids = append(ids, result.Pull.ID)
		}
	}
	return ids
}

// holdings is what a process has that it could lose track of.
type holdings struct{ goroutines, files float64 }

func (r *replica) holdings(t *testing.T) holdings {
	t.Helper()
	text := r.metrics(t)
	return holdings{metricValue(t, text, "go_goroutines"), metricValue(t, text, "process_open_fds")}
}

// gauge returns the value of a metric, with its labels if it has any.
func (s *server) gauge(t *testing.T, name string) float64 {
	t.Helper()
	return metricValue(t, s.metrics(t), name)
}

func metricValue(t *testing.T, text, name string) float64 {
	t.Helper()
	v, err := harness.MetricValue(text, name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// warnings counts what a replica has logged at the level of a warning or above since it had logged before bytes.
func (s *server) warnings(before int) []string {
	var warnings []string
	for line := range strings.Lines(s.Log.String()[before:]) {
		if strings.Contains(line, "level=WARN") || strings.Contains(line, "level=ERROR") {
			warnings = append(warnings, strings.TrimSpace(line))
		}
	}
	return warnings
}

// imageNames returns names of images that need not exist.
func imageNames(prefix string, n int) []string {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("source.example/%s-%03d:1", prefix, i))
	}
	return names
}
