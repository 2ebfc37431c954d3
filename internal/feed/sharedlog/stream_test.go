package sharedlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pullwatch/internal/feed"
	"pullwatch/internal/pull"
	"pullwatch/internal/redis/redisclient"
	"pullwatch/internal/redis/redistest"
)

func TestMain(m *testing.M) { redistest.VerifyTestMain(m) }

var revision atomic.Uint64

// newState returns a state that supersedes all that were made before.
func newState(id string, phase pull.Phase, message string) *pull.State {
	return &pull.State{ID: id, Phase: phase, Message: message, Revision: pull.Revision{Cluster: revision.Add(1)}}
}

// replica is a Stream that runs.
type replica struct {
	*Stream
	leading, watching atomic.Bool
	unproven          atomic.Int64 // nanoseconds since its watch was last known to be live
	stop              func()
}

func newReplica(t *testing.T, url, name string, leads bool) *replica {
	t.Helper()
	settings, err := redisclient.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.DiscardHandler)
	client := redisclient.New(settings, logger, prometheus.NewRegistry())
	r := &replica{}
	r.leading.Store(leads)
	r.watching.Store(leads)
	r.Stream = New(Options{
		Hub: feed.New(name), Redis: client.Stream(), Keys: "pullwatch:{test}:v1:", Leads: r.leading.Load, Watches: r.watching.Load, Logger: logger,
		Proven: func() time.Time { return time.Now().Add(-time.Duration(r.unproven.Load())) },
	})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = r.Run(ctx) })
	r.stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
		_ = client.Close()
	})
	t.Cleanup(r.stop)
	return r
}

// redis returns the journal of the replica.
func (r *replica) redis() *redisJournal { return r.journal.(*redisJournal) }

// newLeader returns a replica that leads and is synced. There are no pulls.
func newLeader(t *testing.T, url string) *replica {
	t.Helper()
	r := newReplica(t, url, "lead", true)
	r.SetSynced()
	r.awaitLive(t, true)
	r.SetResourceVersions(1, 1)
	return r
}

// awaitLive waits until the replica is live, or until it is not.
func (r *replica) awaitLive(t *testing.T, live bool) {
	t.Helper()
	changed, unsubscribe := r.LiveChanged()
	defer unsubscribe()
	for r.Live() != live {
		select {
		case <-changed:
		case <-t.Context().Done():
			t.Fatalf("the replica did not become live: %t", live)
		}
	}
}

// reader reads one subscription and keeps what it got.
type reader struct {
	sub       *feed.Subscription
	last      map[string]*pull.State
	position  pull.Position
	delivered map[string]bool
}

func (r *replica) read(t *testing.T, after pull.Position, ids ...string) *reader {
	t.Helper()
	r.Await(t.Context(), after)
	sub, err := r.Subscribe(ids, after)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sub.Close)
	return &reader{sub: sub, last: map[string]*pull.State{}, delivered: map[string]bool{}}
}

// until reads until the state of a pull has a message.
func (r *reader) until(t *testing.T, id, message string) {
	t.Helper()
	for r.last[id] == nil || r.last[id].Message != message {
		state, err := r.sub.Await(t.Context())
		if err != nil {
			t.Fatalf("%s never was %q: %v", id, message, err)
		}
		if content := state.ID + state.Message; r.delivered[content] || r.delivered[state.RevisionID()] {
			t.Errorf("delivered twice: %s as %s", content, state.RevisionID())
		} else {
			r.delivered[content], r.delivered[state.RevisionID()] = true, true
		}
		r.last[state.ID], r.position = state, state.Position
	}
}

func TestSubscribersOfEveryReplicaGetEveryChange(t *testing.T) {
	redis := redistest.Start(t)
	leader, other := newLeader(t, redis.URL()), newReplica(t, redis.URL(), "other", false)
	other.awaitLive(t, true)
	readers := []*reader{leader.read(t, pull.Position{}), other.read(t, pull.Position{})}
	for i := range 500 {
		leader.Publish(newState(fmt.Sprint(i%50), pull.Pulling, fmt.Sprint(i)))
	}
	leader.Publish(newState("0", pull.Succeeded, "done"))
	for _, r := range readers {
		r.until(t, "0", "done")
		for i := 1; i < 50; i++ {
			r.until(t, fmt.Sprint(i), fmt.Sprint(450+i))
		}
	}
	if a, b := readers[0].position, readers[1].position; a != b {
		t.Errorf("the same state is at %v on one replica and at %v on the other", a, b)
	}
}

func TestASubscriptionResumesOnAnotherReplica(t *testing.T) {
	redis := redistest.Start(t)
	leader := newLeader(t, redis.URL())
	r := leader.read(t, pull.Position{})
	leader.Publish(newState("a", pull.Pulling, "a1"))
	leader.Publish(newState("b", pull.Pulling, "b1"))
	r.until(t, "b", "b1")
	leader.Publish(newState("a", pull.Canceled, "a2"))
	leader.Retire("a")
	leader.Publish(newState("c", pull.Queued, "c1"))
	leader.Flush(t.Context())

	// A replica that starts later gets all of it from the hash.
	late := newReplica(t, redis.URL(), "late", false)
	late.awaitLive(t, true)
	r2 := late.read(t, r.position)
	r2.until(t, "c", "c1")
	if len(r2.last) != 2 || r2.last["a"].Message != "a2" {
		t.Errorf("after b1 came %v", r2.last)
	}
	ended := late.read(t, r2.position, "a")
	if state, err := ended.sub.Await(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("%v, %v", state, err)
	}
	// A position in a log that nobody knows brings a snapshot.
	r3 := late.read(t, pull.Position{Log: "unknown", Seq: 5})
	r3.until(t, "c", "c1")
	if len(r3.last) != 3 || r3.last["a"].Message != "a2" {
		t.Errorf("a snapshot held %v", r3.last)
	}
}

func TestSubscribersGetNothingTwiceFromANewLeader(t *testing.T) {
	redis := redistest.Start(t)
	leader, other := newLeader(t, redis.URL()), newReplica(t, redis.URL(), "other", false)
	other.awaitLive(t, true)
	a, b := newState("a", pull.Pulling, "a1"), newState("b", pull.Pulling, "b1")
	leader.Publish(a)
	leader.Publish(b)
	leader.Flush(t.Context())
	r := other.read(t, pull.Position{})
	r.until(t, "b", "b1")
	leader.Resign(t.Context())
	leader.leading.Store(false)
	<-other.Vacant()
	leader.stop()

	other.leading.Store(true)
	again := *b
	again.Revision = pull.Revision{Cluster: revision.Add(1)} // newer, with nothing new in it
	other.Publish(a)
	other.Publish(&again)
	other.Publish(newState("a", pull.Succeeded, "a2"))
	r.until(t, "a", "a2")
	if len(r.delivered) != 6 {
		t.Errorf("delivered: %v", r.delivered)
	}
}

func TestSubscribersMissNothingWhenRedisRestartsEmpty(t *testing.T) {
	redis := redistest.Start(t)
	leader, other := newLeader(t, redis.URL()), newReplica(t, redis.URL(), "other", false)
	other.awaitLive(t, true)
	readers := []*reader{leader.read(t, pull.Position{}), other.read(t, pull.Position{})}
	old, ended := newState("old", pull.Failed, "old1"), newState("ended", pull.Pulling, "ended1")
	leader.Publish(old)
	leader.Publish(ended)
	for _, r := range readers {
		r.until(t, "ended", "ended1")
	}

	redis.Kill()
	leader.awaitLive(t, false)
	other.awaitLive(t, false)
	// Both see the same change by themselves.
	done := newState("ended", pull.Succeeded, "ended2")
	leader.Publish(done)
	other.Publish(done)
	for _, r := range readers {
		r.until(t, "ended", "ended2")
	}

	redis.Restart()
	leader.awaitLive(t, true)
	other.awaitLive(t, true)
	leader.Publish(newState("new", pull.Queued, "new1"))
	for _, r := range readers {
		r.until(t, "new", "new1")
	}
	late := newReplica(t, redis.URL(), "late", false)
	late.awaitLive(t, true)
	r := late.read(t, pull.Position{})
	r.until(t, "new", "new1")
	if r.last["old"] == nil || r.last["ended"].Message != "ended2" {
		t.Errorf("a replica that came later knows %v", r.last)
	}
}

func TestSubscribersGetChangesWhileRedisHangs(t *testing.T) {
	redis := redistest.Start(t)
	leader, other := newLeader(t, redis.URL()), newReplica(t, redis.URL(), "other", false)
	other.awaitLive(t, true)
	redis.Pause()
	leader.Publish(newState("a", pull.Pulling, "a1"))
	leader.read(t, pull.Position{}).until(t, "a", "a1")
	other.awaitLive(t, false)
	redis.Resume()
	other.awaitLive(t, true)
	other.read(t, pull.Position{}).until(t, "a", "a1")
}

func TestSubscribersGetChangesWhileRedisIsFull(t *testing.T) {
	redis := redistest.Start(t)
	leader := newLeader(t, redis.URL())
	if err := redis.Client().ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	r := leader.read(t, pull.Position{})
	leader.Publish(newState("a", pull.Pulling, "a1"))
	r.until(t, "a", "a1")
	if err := redis.Client().ConfigSet(t.Context(), "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	other := newReplica(t, redis.URL(), "other", false)
	other.awaitLive(t, true)
	r = other.read(t, pull.Position{})
	r.until(t, "a", "a1")
}

// A failover to a replica that lacks the last writes brings back an earlier log.
func TestSubscribersMissNothingWhenRedisLosesTheEndOfTheLog(t *testing.T) {
	redis := redistest.Start(t)
	leader, other := newLeader(t, redis.URL()), newReplica(t, redis.URL(), "other", false)
	other.awaitLive(t, true)
	leader.Publish(newState("a", pull.Pulling, "a1"))
	leader.Flush(t.Context())
	backup := map[string]string{}
	for _, key := range leader.redis().keys.all() {
		backup[key] = redis.Client().Dump(t.Context(), key).Val()
	}
	leader.Publish(newState("a", pull.Succeeded, "a2"))
	readers := []*reader{leader.read(t, pull.Position{}), other.read(t, pull.Position{})}
	for _, r := range readers {
		r.until(t, "a", "a2")
	}
	for key, value := range backup {
		if value != "" {
			if err := redis.Client().RestoreReplace(t.Context(), key, 0, value).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	other.awaitLive(t, false)
	other.awaitLive(t, true)
	late := newReplica(t, redis.URL(), "late", false)
	late.awaitLive(t, true)
	late.read(t, pull.Position{}).until(t, "a", "a2")
	leader.Publish(newState("b", pull.Queued, "b1"))
	for _, r := range readers {
		r.until(t, "b", "b1")
	}
}

func TestAReplicaThatHearsNoLeaderWatchesForItself(t *testing.T) {
	redis := redistest.Start(t)
	leader := newLeader(t, redis.URL())
	other := newReplica(t, redis.URL(), "other", false)
	other.awaitLive(t, true)
	other.mu.Lock()
	other.maxSilence = time.Nanosecond
	other.mu.Unlock()
	leader.stop()
	other.awaitLive(t, false)
	other.Publish(newState("a", pull.Pulling, "a1")) // by its own watch
	other.read(t, pull.Position{}).until(t, "a", "a1")
}

func TestAPullStartedOnAReplicaThatDoesNotLeadIsKnownThereAtOnce(t *testing.T) {
	redis := redistest.Start(t)
	leader, other := newLeader(t, redis.URL()), newReplica(t, redis.URL(), "other", false)
	other.awaitLive(t, true)
	started := newState("a", pull.Queued, "a1")
	other.Publish(started)
	other.Flush(t.Context())
	if state := other.Latest("a"); state == nil || state.Position.Log == "" || state.Position.Replica != "" {
		t.Errorf("after Flush there is %+v", state)
	}
	leader.Publish(started) // seen by its watch
	r := leader.read(t, pull.Position{})
	leader.Publish(newState("a", pull.Pending, "a2"))
	r.until(t, "a", "a2")
}

func TestAReaderBehindForgottenPullsGetsASnapshot(t *testing.T) {
	redis := redistest.Start(t)
	leader := newLeader(t, redis.URL())
	r := leader.read(t, pull.Position{})
	leader.Publish(newState("first", pull.Queued, "1"))
	r.until(t, "first", "1")
	for i := range feed.MaxRetired + 10 {
		id := fmt.Sprint("gone-", i)
		leader.Publish(newState(id, pull.Canceled, "c"))
		leader.Retire(id)
	}
	leader.Flush(t.Context())
	for _, replica := range []*replica{leader, newReplica(t, redis.URL(), "late", false)} {
		replica.awaitLive(t, true)
		again := replica.read(t, r.position)
		again.until(t, "first", "1") // the snapshot that comes instead
	}
	fields, err := redis.Client().HLen(t.Context(), leader.redis().keys.pulls).Result()
	if err != nil || fields > feed.MaxRetired+10 {
		t.Errorf("Redis holds %d fields, %v", fields, err)
	}
}

func TestSubscribersGetChangesThroughSentinelAndCluster(t *testing.T) {
	set, cluster := redistest.StartReplicaSet(t), redistest.StartCluster(t)
	for _, url := range []string{set.URL(), cluster.URL()} {
		leader, other := newLeader(t, url), newReplica(t, url, "other", false)
		other.awaitLive(t, true)
		r := other.read(t, pull.Position{})
		leader.Publish(newState("a", pull.Pulling, "a1"))
		r.until(t, "a", "a1")
		if url != set.URL() {
			continue
		}
		set.Failover()
		leader.Publish(newState("a", pull.Succeeded, "a2"))
		leader.read(t, pull.Position{}).until(t, "a", "a2")
		if other.Live() {
			r.until(t, "a", "a2")
			continue
		}
		other.awaitLive(t, true)
		r.until(t, "a", "a2")
	}
}

// All replicas may have been away for long. The cluster has changed since, and the log in Redis has not.
func TestAnOldLogIsNotTakenForTheStateOfTheCluster(t *testing.T) {
	redis := redistest.Start(t)
	leader := newLeader(t, redis.URL())
	leader.Publish(newState("a", pull.Pulling, "a1"))
	leader.Flush(t.Context())
	leader.stop()
	anHourAgo := time.Now().Add(-time.Hour).Unix()
	if err := redis.Client().HSet(t.Context(), leader.redis().keys.pulls, fieldHeartbeat, anHourAgo).Err(); err != nil {
		t.Fatal(err)
	}
	late := newReplica(t, redis.URL(), "late", false)
	changed, unsubscribe := late.hub.Changed()
	defer unsubscribe()
	for late.Latest("a") == nil {
		<-changed
	}
	late.mu.Lock()
	defer late.mu.Unlock()
	if late.live || late.isSynced() {
		t.Error("an old log was taken for the state of the cluster")
	}
}

func TestTheDocumentedRedisUserHasAllRights(t *testing.T) {
	server, cluster := redistest.Start(t), redistest.StartCluster(t)
	login := redistest.AllowUser(t, "../../../docs/operating.md", append(cluster.Servers, server)...)
	for _, url := range []string{
		"redis://" + login + server.Addr + "/1",
		strings.Replace(cluster.URL(), "://", "://"+login, 1),
	} {
		leader, other := newLeader(t, url), newReplica(t, url, "other", false)
		other.awaitLive(t, true)
		for i := range feed.MaxRetired + 1 {
			id := fmt.Sprint(i)
			leader.Publish(newState(id, pull.Canceled, id))
			leader.Retire(id)
		}
		const last = "1000"
		for _, r := range []*replica{leader, other} {
			changed, unsubscribe := r.hub.Changed()
			for r.Latest(last) == nil {
				<-changed
			}
			unsubscribe()
		}
		if leader.Latest(last).Position.Replica != "" {
			t.Error("what the leader published did not come through Redis")
		}
		if err := leader.journal.destroy(t.Context(), leader.Latest(last).Position.Log); err != nil {
			t.Error(err)
		}
	}
}
