package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pullwatch/e2e/harness"
	"pullwatch/internal/redis/redistest"
)

const (
	// replicas is how many there are in a run.
	replicas = 3
	// maxParallel is how many pulls may run at a time.
	maxParallel = 5
)

// world is all that there is in one run. Its methods are for the test's goroutine, except clock and settling.
type world struct {
	t         *testing.T
	seed      uint64
	began     time.Time
	namespace string
	redis     *redisServers
	replicas  []*replica
	truth     *truth
	journal   *journal
	verdict   verdict
	counts    counts

	// inside ends the clients and watchers, which clients waits for.
	inside      context.Context
	endClients  context.CancelFunc
	clients     sync.WaitGroup
	users       sync.WaitGroup
	subscribers []*subscriber
	calm        atomic.Bool
	idle        holdings
}

// newWorld starts three replicas with nobody connected to them. Pods take speed times as long as usual.
func newWorld(t *testing.T, seed uint64, kind string, speed float64) *world {
	t.Helper()
	w := &world{t: t, seed: seed, began: time.Now(), namespace: cluster.NewNamespace(t)}
	w.journal = &journal{began: w.began}
	w.inside, w.endClients = context.WithCancel(context.Background())
	around, end := context.WithCancel(context.Background())
	var awaitTruth, awaitPods func()
	w.truth, awaitTruth = watchTruth(around, t, w.namespace, w.began)
	awaitPods = runPods(around, t, w.namespace, seed, speed)
	t.Cleanup(func() {
		w.stopClients()
		end()
		awaitPods()
		awaitTruth()
	})
	w.redis = startRedis(t, kind)
	template := filepath.Join(t.TempDir(), "job.yaml")
	if err := os.WriteFile(template, []byte(jobTemplate), 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range replicas {
		w.replicas = append(w.replicas, w.newReplica(i, template))
	}
	w.start(w.replicas)
	w.awaitReady()
	harness.Eventually(t, "a replica leads", func() bool { return w.leader() != nil })
	w.began = time.Now()
	w.journal.began = w.began
	w.idle = w.most()
	return w
}

func (w *world) newReplica(index int, template string) *replica {
	w.t.Helper()
	r := &replica{index: index, api: cluster.NewProxy(w.t), door: harness.NewProxy(w.t, "")}
	url := w.redis.url
	if url == "" {
		r.redis = harness.NewProxy(w.t, w.redis.servers[0].Addr)
		url = "redis://" + r.redis.Address
	}
	r.flags = []string{
		"--kubeconfig=" + cluster.KubeconfigVia(w.t, r.api), "--namespace=" + w.namespace, "--redis-url=" + url,
		"--copier-image=copier.example/none:1", "--destination=destination.example/mirror", "--job-template=" + template,
		fmt.Sprintf("--max-parallel=%d", maxParallel), "--history-ttl=1h", "--drain-timeout=2s",
	}
	return r
}

// clock returns a moment as reports have it.
func (w *world) clock(at time.Time) string {
	return fmt.Sprintf("at %.2f s", at.Sub(w.began).Seconds())
}

// settling reports whether the faults are over and clients stay where they are.
func (w *world) settling() bool { return w.calm.Load() }

func (w *world) start(some []*replica) {
	for _, r := range some {
		r.start(w.t)
	}
}

// readyLimit is how soon a replica is ready when nothing is broken, on a busy machine.
const readyLimit = time.Minute

// awaitReady waits until all replicas are ready.
func (w *world) awaitReady() {
	w.t.Helper()
	for _, r := range w.replicas {
		if !harness.Within(w.t, readyLimit, func() bool { return r.isReady(w.t.Context()) }) {
			w.t.Fatalf("replica %d is not ready within %s", r.index, readyLimit)
		}
	}
}

// leader returns the replica whose newest process holds the Lease; nil while there is none.
func (w *world) leader() *replica {
	held := w.truth.holder()
	for _, r := range w.replicas {
		if held.holder != "" && r.holds(held.holder) {
			return r
		}
	}
	return nil
}

func (w *world) redisCommand(server *redistest.Server, args ...any) {
	if err := server.Client().Do(w.t.Context(), args...).Err(); err != nil {
		w.t.Logf("Redis at %s: %v: %v", server.Addr, args, err)
	}
}

// subscribe starts subscribers. The last some of them follow some pulls, the others all.
func (w *world) subscribe(all, some int) {
	for i := range all + some {
		w.add(&subscriber{some: i >= all})
	}
}

// add starts a subscriber.
func (w *world) add(s *subscriber) *subscriber {
	i := len(w.subscribers)
	s.name, s.w, s.random = fmt.Sprintf("subscriber %d", i), w, rand.New(rand.NewPCG(w.seed, uint64(streamSubscribers+i)))
	w.subscribers = append(w.subscribers, s)
	w.clients.Go(func() { s.follow(w.inside) })
	return s
}

// watch starts a watcher of each replica.
func (w *world) watch() {
	for _, r := range w.replicas {
		w.clients.Go(func() { (&watcher{w: w, r: r}).watch(w.inside) })
	}
}

// use starts users, who end once the world settles.
func (w *world) use(n int) {
	for i := range n {
		u := &user{w: w, number: i, random: rand.New(rand.NewPCG(w.seed, uint64(streamUsers+i)))}
		w.users.Go(func() { u.work(w.inside) })
	}
}

func (w *world) stopClients() {
	w.endClients()
	w.users.Wait()
	w.clients.Wait()
	http.DefaultClient.CloseIdleConnections()
}

// evidence returns the states of the pull that the violation's subscriber got, and what the cluster had.
func (w *world) evidence(v violation) string {
	var text strings.Builder
	for _, s := range w.subscribers {
		if s.name != v.client || v.id == "" {
			continue
		}
		s.mu.Lock()
		for _, d := range s.deliveries {
			if d.ID == v.id {
				c := s.connections[d.connection]
				fmt.Fprintf(&text, "      told %s %s attempts %d %s (connection %d to replica %d, %s, after %q)\n",
					w.clock(d.at), d.Phase, d.Attempts, d.Revision, d.connection, c.replica, w.clock(c.began), c.after)
			}
		}
		s.mu.Unlock()
	}
	for _, j := range w.truth.snapshot() {
		if j.id == v.id {
			fmt.Fprintf(&text, "      the cluster's Job: seen %s, %s\n", w.clock(j.seen), strings.Join(j.story, ", "))
		}
	}
	return text.String()
}
