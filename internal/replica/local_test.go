package replica

import (
	"context"
	"log/slog"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/kubernetes"

	"pullwatch/internal/demo/fakeapi"
	"pullwatch/internal/feed"
	"pullwatch/internal/pull"
	"pullwatch/internal/redis/redisclient"
	"pullwatch/internal/redis/redistest"
	"pullwatch/kube"
)

// Replicas that hear no leader each watch the cluster for themselves. A killed leader must be followed well before that.
func TestAKilledLeaderIsReplacedBeforeAllReplicasWatch(t *testing.T) {
	if longest := kube.LongestTakeover * 4 / 3; longest > feed.LongestAbsence {
		t.Errorf("a takeover may last %v, with a third for slow machines %v; a leader is missed after %v",
			kube.LongestTakeover, longest, feed.LongestAbsence)
	}
}

// A replica that has just begun to watch knows changes that have not come back from the shared log yet. Its lists show only
// those that have.
func TestListsFromTheSharedLogAreAsOldAsItsProof(t *testing.T) {
	server, log := redistest.Start(t), slog.New(slog.DiscardHandler)
	settings, err := redisclient.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	redis := redisclient.New(settings, log, prometheus.NewRegistry())
	defer redis.Close()
	api := fakeapi.New()
	defer api.Close()
	config := api.Config()
	health, err := kube.NewHealth(config, log)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	role := &kube.Role{}
	hub, old := feed.New("a"), time.Now().Add(-time.Minute)
	stream := feed.NewStream(feed.Options{
		Hub: hub, Redis: redis.Stream(), Keys: testKeys, Log: log,
		Leads: func() bool { return true }, Watches: func() bool { return true }, Proven: func() time.Time { return old },
	})
	watch := kube.NewWatch(client, testNamespace, kube.NewTracker(stream, log), role, log)
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
	stream.Publish(&pull.Job{ID: "p", Phase: pull.Queued, CreatedAt: time.Now()})
	stream.Flush(ctx)
	name := hub.Latest("p").Position.Log
	for stream.Proven().IsZero() && ctx.Err() == nil {
		stream.Await(ctx, pull.Position{Log: name, Seq: math.MaxUint64}) // for a moment, while the log goes on
	}
	l := local{hub, role, stream, health}
	if got := l.Snapshot(); !l.Watching() || time.Since(got.Proven) < time.Minute || time.Since(got.AsOf) > time.Minute {
		t.Errorf("watching %v, the lists are proven until %v, want %v", l.Watching(), got.Proven, old)
	}
}
