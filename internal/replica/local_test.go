package replica

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"pullwatch/cache"
	"pullwatch/internal/demo/fakeapi"
	"pullwatch/internal/feed"
	"pullwatch/internal/feed/sharedlog"
	"pullwatch/internal/pull"
	"pullwatch/internal/redis/redisclient"
	"pullwatch/internal/redis/redistest"
	"pullwatch/internal/usererr"
	"pullwatch/kube"
)

// Replicas that hear no leader each watch the cluster for themselves. Another replica must lead well before that.
func TestAKilledLeaderIsReplacedBeforeAllReplicasWatch(t *testing.T) {
	if longest := kube.LongestTakeover * 4 / 3; longest > sharedlog.LongestAbsence {
		t.Errorf("a takeover may last %v, with a third for slow machines %v; a leader is missed after %v",
			kube.LongestTakeover, longest, sharedlog.LongestAbsence)
	}
}

// A replica that has just begun to watch knows changes that the shared log has not returned yet. Its lists show only those that
// the log has returned.
func TestListsFromTheSharedLogAreAsOldAsTheLeadersProof(t *testing.T) {
	server, logger := redistest.Start(t), slog.New(slog.DiscardHandler)
	settings, err := redisclient.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	redis := redisclient.New(settings, logger, prometheus.NewRegistry())
	defer redis.Close()
	api := fakeapi.New()
	defer api.Close()
	config := api.Config()
	health, err := kube.NewHealth(config, logger)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	role := &kube.Role{}
	hub, old := feed.New("a"), time.Now().Add(-time.Minute)
	stream := sharedlog.New(sharedlog.Options{
		Hub: hub, Redis: redis.Stream(), Keys: testKeys, Logger: logger,
		Leads: func() bool { return true }, Watches: func() bool { return true }, Proven: func() time.Time { return old },
	})
	watch := kube.NewWatch(client, testNamespace, kube.NewTracker(stream, logger), role, logger)
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	running.Go(func() { _ = stream.Run(ctx) })
	running.Go(func() { _ = watch.Run(ctx) })
	defer watch.Demand()()
	if err := watch.AwaitSync(ctx); err != nil {
		t.Fatal(err)
	}
	awaitLive(t, ctx, stream)
	stream.Publish(&pull.State{ID: "p", Phase: pull.Queued, CreatedAt: time.Now()})
	stream.Flush(ctx)
	name := hub.Latest("p").Position.Log
	for stream.Proven().IsZero() && ctx.Err() == nil {
		stream.Await(ctx, pull.Position{Log: name, Seq: math.MaxUint64}) // for a moment, while the shared log goes on
	}
	l := local{hub, role, stream, health}
	if got := l.Snapshot(); !l.Watching() || time.Since(got.Proven) < time.Minute || time.Since(got.AsOf) > time.Minute {
		t.Errorf("watching %v, the lists are proven until %v, want %v", l.Watching(), got.Proven, old)
	}
}

// downAPI is an API server that does not answer while it is down.
type downAPI struct {
	next        http.RoundTripper
	down, hangs atomic.Bool
	asked       atomic.Int64
}

func (a *downAPI) RoundTrip(r *http.Request) (*http.Response, error) {
	a.asked.Add(1)
	if !a.down.Load() {
		return a.next.RoundTrip(r)
	}
	if a.hangs.Load() {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return nil, errors.New("connection refused")
}

// A replica asks for the Lease all the time. Once it gets no answer, no list waits for the API server.
func TestListsAnswerWithoutTheAPIServerWhileItIsAway(t *testing.T) {
	for name, hangs := range map[string]bool{"refused": false, "hanging": true} {
		t.Run(name, func(t *testing.T) {
			api, logger := fakeapi.New(), slog.New(slog.DiscardHandler)
			defer api.Close()
			config, down := api.Config(), &downAPI{}
			down.hangs.Store(hangs)
			config.Wrap(func(next http.RoundTripper) http.RoundTripper { down.next = next; return down })
			health, err := kube.NewHealth(config, logger)
			if err != nil {
				t.Fatal(err)
			}
			client, err := kubernetes.NewForConfig(config)
			if err != nil {
				t.Fatal(err)
			}
			hub := feed.New("a")
			replica := func() *cache.Lists {
				return cache.NewLists(cache.Options{
					Source: Source{kube.NewReader(client, testNamespace, hub.Latest)}, Local: local{hub, &kube.Role{}, nil, health},
					Away: health.Away, Metrics: cache.NewMetrics(prometheus.NewRegistry()), Logger: logger,
				})
			}
			lists := replica()
			if _, err := lists.Active(t.Context()); err != nil {
				t.Fatal(err)
			}
			compete := func() { // Health observes how it ends
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
				defer cancel()
				_, _ = client.CoordinationV1().Leases(testNamespace).Get(ctx, "pullwatch", metav1.GetOptions{})
			}
			down.down.Store(true)
			for !health.Away() {
				compete()
			}
			before := down.asked.Load()
			lists.Require(1 << 40) // memory is not new enough
			if got, err := lists.Active(t.Context()); err != nil || !got.Stale {
				t.Errorf("the list is %+v, %v", got, err)
			}
			if _, err := replica().Active(t.Context()); usererr.CodeOf(err) != usererr.Unavailable {
				t.Errorf("a list that is not cached: %v", err)
			}
			if n := down.asked.Load() - before; n > 0 {
				t.Errorf("the API server was asked %d times", n)
			}
			down.down.Store(false)
			for health.Away() {
				compete()
			}
			if got, err := lists.Active(t.Context()); err != nil || got.Stale {
				t.Errorf("once it is back the list is %+v, %v", got, err)
			}
		})
	}
}
