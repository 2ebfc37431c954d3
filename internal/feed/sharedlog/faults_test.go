package sharedlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"pullwatch/internal/feed"
	"pullwatch/internal/pull"
	"pullwatch/internal/redis/redistest"
)

// until waits until ok returns true. It asks again whenever the signal of subscribe comes.
func until(t *testing.T, subscribe func() (<-chan struct{}, func()), what string, ok func() bool) {
	t.Helper()
	woken, unsubscribe := subscribe()
	defer unsubscribe()
	for !ok() {
		select {
		case <-woken:
		case <-t.Context().Done():
			t.Fatalf("never: %s", what)
		}
	}
}

// A copier's progress alone does not change the resourceVersions of a state.
func TestAPullWhoseProgressComesWhileRedisHangsIsNotReportedLost(t *testing.T) {
	redis := redistest.Start(t)
	leader, other := newLeader(t, redis.URL()), newReplica(t, redis.URL(), "other", false)
	other.awaitLive(t, true)
	p := newState("p", pull.Pulling, "one")
	p.Revision = pull.Revision{Cluster: 500, Step: 1}
	leader.Publish(p)
	leader.SetResourceVersions(510, 510) // other Jobs have changed since
	until(t, other.progress.Subscribe, "the resourceVersions arrive", func() bool { jobs, _ := other.hub.ResourceVersions(); return jobs == 510 })
	redis.Pause()
	for step := range uint64(2) {
		next := *p
		next.Revision.Step, next.Message = 2+step, fmt.Sprint("step ", step)
		leader.Publish(&next)
	}
	leader.awaitLive(t, false)
	redis.Resume()
	leader.awaitLive(t, true)
	r := other.read(t, pull.Position{})
	r.until(t, "p", "step 1")
	if got := r.last["p"]; got.Phase != pull.Pulling {
		t.Errorf("p is %s: %s", got.Phase, got.Message)
	}
}

// loseReads loses the replies to reads of the log while it is set.
type loseReads struct{ atomic.Bool }

func (*loseReads) DialHook(next redis.DialHook) redis.DialHook { return next }

func (*loseReads) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (l *loseReads) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, command redis.Cmder) error {
		err := next(ctx, command)
		if command.Name() == "xread" && l.Load() && err == nil {
			err = errors.New("connection reset")
			command.SetErr(err)
		}
		return err
	}
}

func TestPublishSurvivesRedisLosingAnAcknowledgedWrite(t *testing.T) {
	redis := redistest.Start(t)
	leader := newLeader(t, redis.URL())
	lose := &loseReads{}
	leader.redis().redis.AddHook(lose)
	r := leader.read(t, pull.Position{})
	leader.Publish(newState("p", pull.Pulling, "one"))
	r.until(t, "p", "one")
	lose.Store(true)
	leader.Publish(newState("p", pull.Succeeded, "two"))
	leader.awaitLive(t, false)
	redis.Kill()
	lose.Store(false)
	redis.Restart()
	r.until(t, "p", "two")
}

func TestAPullThatWasStartedWhileRedisHangsCanBeFollowed(t *testing.T) {
	redis := redistest.Start(t)
	newLeader(t, redis.URL())
	other := newReplica(t, redis.URL(), "other", false)
	other.awaitLive(t, true)
	redis.Pause()
	defer redis.Resume()
	other.Publish(newState("p", pull.Queued, "one"))
	other.Flush(t.Context())
	other.read(t, pull.Position{}, "p").until(t, "p", "one")
}

func TestAnUnreadableLogIsReplaced(t *testing.T) {
	for _, field := range []string{"p", fieldLog, fieldSeq, fieldHeartbeat} {
		t.Run(field, func(t *testing.T) {
			redis := redistest.Start(t)
			leader := newLeader(t, redis.URL())
			leader.Publish(newState("q", pull.Pulling, "one"))
			leader.Flush(t.Context())
			value := "garbage"
			if field == fieldLog {
				value = ""
			}
			if err := redis.Client().HSet(t.Context(), leader.redis().keys.pulls, field, value).Err(); err != nil {
				t.Fatal(err)
			}
			other := newReplica(t, redis.URL(), "other", false)
			other.awaitLive(t, true)
			other.read(t, pull.Position{}).until(t, "q", "one")
		})
	}
}

// During an update, replicas of two versions may use the same keys. Each would remove what the other one has written, for ever.
func TestALogOfAnotherVersionIsLeftAlone(t *testing.T) {
	server := redistest.Start(t)
	leader := newLeader(t, server.URL())
	leader.Publish(newState("p", pull.Pulling, "one"))
	leader.Flush(t.Context())
	leader.stop()
	other := newReplica(t, server.URL(), "other", true)
	other.stop() // the test reads in its place
	client := redis.NewClient(&redis.Options{Addr: server.Addr})
	defer client.Close()
	journal := other.redis()
	journal.redis = client

	value := client.HGet(t.Context(), journal.keys.pulls, "p").Val()
	begins, state := value[:orderLength+offsetLength+1], []byte(value[orderLength+offsetLength+1:])
	name := client.HGet(t.Context(), journal.keys.pulls, fieldLog).Val()
	for what, change := range map[string]func(state []byte){
		"the form of its states":         func(state []byte) { state[1]++ },
		"the form in which it is packed": func(state []byte) { state[0] = 9 },
	} {
		changed := slices.Clone(state)
		change(changed)
		if err := client.HSet(t.Context(), journal.keys.pulls, "p", begins+string(changed)).Err(); err != nil {
			t.Fatal(err)
		}
		_, whole := other.open(t.Context())
		values := map[string]any{"k": entryState, "i": "p", "p": changed, "t": "0", "a": ""}
		id := client.XAdd(t.Context(), &redis.XAddArgs{Stream: journal.keys.updates, ID: "9999999999999999-*", Values: values}).Val()
		_, next := other.advance(t.Context(), &reading{name: name, after: "9999999999999998-0"})
		client.XDel(t.Context(), journal.keys.updates, id)
		for of, err := range map[string]error{"the log": whole, "an entry": next} {
			if err == nil || !strings.Contains(err.Error(), "another version") {
				t.Errorf("%s of %s: the error %v does not tell of another version", what, of, err)
			}
		}
		if now := client.HGet(t.Context(), journal.keys.pulls, fieldLog).Val(); now != name {
			t.Fatalf("%s: the log %q is gone; now there is %q", what, name, now)
		}
	}
}

func TestAReconnectedReaderGetsNothingTwiceWhenRedisIsFlushed(t *testing.T) {
	redis := redistest.Start(t)
	leader, other := newLeader(t, redis.URL()), newReplica(t, redis.URL(), "other", false)
	other.awaitLive(t, true)
	r := leader.read(t, pull.Position{})
	leader.Publish(newState("a", pull.Failed, "a1"))
	leader.Publish(newState("b", pull.Pulling, "b1"))
	r.until(t, "b", "b1")
	again := other.read(t, r.position, "a", "b")
	again.delivered["aa1"], again.delivered["bb1"] = true, true
	if err := redis.Client().FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	other.awaitLive(t, false)
	other.awaitLive(t, true)
	leader.Publish(newState("b", pull.Succeeded, "b2"))
	again.until(t, "b", "b2")
}

func TestAPullThatTheLogHasForgottenIsNotSentAgain(t *testing.T) {
	redis := redistest.Start(t)
	leader, other := newLeader(t, redis.URL()), newReplica(t, redis.URL(), "other", false)
	other.awaitLive(t, true)
	r := leader.read(t, pull.Position{})
	p, end := newState("p", pull.Canceled, "one"), newState("end", pull.Succeeded, "end")
	p.CreatedAt, end.CreatedAt = time.Unix(1, 0), time.Unix(2, 0)
	leader.Publish(p)
	leader.Retire("p")
	r.until(t, "p", "one")
	leader.SetResourceVersions(1<<20, 1<<20)
	until(t, other.progress.Subscribe, "the resourceVersions arrive", func() bool { jobs, _ := other.hub.ResourceVersions(); return jobs == 1<<20 })
	// The leader forgets p, as many others are retired. The other replica cannot read that.
	for i := range feed.MaxRetired {
		id := fmt.Sprint(i)
		leader.hub.Publish(newState(id, pull.Canceled, ""))
		leader.hub.Retire(id)
	}
	if leader.Latest("p") != nil {
		t.Fatal("the leader has not forgotten p")
	}
	client := redis.Client()
	client.HDel(t.Context(), leader.redis().keys.pulls, "p")
	client.HSet(t.Context(), leader.redis().keys.pulls, "#forgotten", p.OrderKey()[:12])
	client.Do(t.Context(), "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	for _, replica := range []*replica{leader, other} {
		until(t, replica.LiveChanged, "it is back at the log", func() bool { return replica.attachments.Load() > 1 && replica.Live() })
	}
	leader.Publish(end)
	r.until(t, "end", "end")
}

func TestALeaderWhoseWatchIsDeadSendsNoHeartbeat(t *testing.T) {
	redis := redistest.Start(t)
	leader, other := newLeader(t, redis.URL()), newReplica(t, redis.URL(), "other", false)
	other.awaitLive(t, true)
	leader.watching.Store(false)
	other.mu.Lock()
	other.maxSilence = 2 * heartbeatInterval
	other.mu.Unlock()
	other.awaitLive(t, false)
}

func TestMemoryIsFreedOnceTheLogHasReturnedAllChanges(t *testing.T) {
	redis := redistest.Start(t)
	leader := newLeader(t, redis.URL())
	for i := range 1000 {
		leader.Publish(newState(fmt.Sprint(i), pull.Queued, ""))
		leader.Publish(newState(fmt.Sprint(i), pull.Canceled, ""))
		leader.Retire(fmt.Sprint(i))
	}
	until(t, leader.progress.Subscribe, "all has come back", func() bool {
		leader.mu.Lock()
		defer leader.mu.Unlock()
		return len(leader.unread.states) == 0
	})
}

// A pull may get the name of an earlier one whose Job is gone and forgotten.
func TestAPullWhoseNameIsReusedIsAppendedAsNew(t *testing.T) {
	var p pending
	before, again := newState("p", pull.Succeeded, "before"), newState("p", pull.Queued, "again")
	again.CreatedAt = time.Unix(1, 0)
	p.addState(before)
	p.addRetired("p")
	p.addState(again)
	if got := p.take(10); len(got) != 1 || got[0].State != again {
		t.Errorf("%+v is appended", got)
	}
}

// A leader that was stopped may still have a state to append of a pull that is gone and forgotten by then.
func TestAPullThatTheLogHasForgottenIsNotAppendedAgain(t *testing.T) {
	redis := redistest.Start(t)
	leader := newLeader(t, redis.URL())
	appends := func(versions feed.ResourceVersions, operations ...operation) {
		name, _ := leader.hub.LogOffset()
		if _, err := leader.journal.append(t.Context(), name, tail{}, versions, false, operations...); err != nil {
			t.Fatal(err)
		}
	}
	at := func(id string, phase pull.Phase, version uint64) operation {
		state := newState(id, phase, "")
		state.Revision = pull.Revision{Cluster: version}
		return operationOf(feed.Change{State: state})
	}
	appends(feed.ResourceVersions{}, at("forgotten", pull.Pulling, 10), operationOf(feed.Change{Retired: "forgotten"}))
	for i := range feed.MaxRetired {
		id := fmt.Sprint(i)
		appends(feed.ResourceVersions{Jobs: 20, Pods: 20}, at(id, pull.Succeeded, 15), operationOf(feed.Change{Retired: id}))
	}
	appends(feed.ResourceVersions{}, at("forgotten", pull.Pulling, 11), at("new", pull.Queued, 21))
	appends(feed.ResourceVersions{}, at("forgotten", pull.Succeeded, 12))
	c, err := leader.journal.load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var living []string
	for _, s := range c.Pulls {
		if !s.Retired {
			living = append(living, s.State.ID)
		}
	}
	if !slices.Equal(living, []string{"new"}) {
		t.Errorf("the log holds %v", living)
	}
	// Another cluster takes the place of this one, and its resourceVersions begin anew.
	anew := at("anew", pull.Queued, 3)
	anew.State.CreatedAt = time.Now()
	appends(feed.ResourceVersions{}, anew)
	until(t, leader.progress.Subscribe, "a pull that is newer than all forgotten ones is delivered", func() bool { return leader.Latest("anew") != nil })
}

// Redis may have lost entries in a failover. No resourceVersions that cover them may be written then.
func TestNothingIsAppendedToALogThatHasLostItsEnd(t *testing.T) {
	redis := redistest.Start(t)
	journal := &redisJournal{redis: redis.Client(), keys: newKeys("{test}:")}
	name, err := journal.begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	appends := func(known tail, id string) (tail, error) {
		return journal.append(t.Context(), name, known, feed.ResourceVersions{Jobs: 20, Pods: 20}, false, operationOf(feed.Change{State: newState(id, pull.Queued, "")}))
	}
	known, err := appends(tail{}, "a")
	if err != nil {
		t.Fatal(err)
	}
	backup := map[string]string{}
	for _, key := range journal.keys.all() {
		backup[key] = redis.Client().Dump(t.Context(), key).Val()
	}
	lost, err := appends(known, "b")
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range backup {
		if value != "" {
			if err := redis.Client().RestoreReplace(t.Context(), key, 0, value).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := appends(lost, "c"); !errors.Is(err, errGap) {
		t.Errorf("a log that ends with %v takes what stands after %v: %v", known, lost, err)
	}
	later, err := appends(known, "d")
	if err != nil {
		t.Fatal(err)
	}
	if later.offset <= lost.offset {
		t.Errorf("offset %d is used again: %d", lost.offset, later.offset)
	}
	if _, err := appends(lost, "e"); !errors.Is(err, errGap) {
		t.Errorf("a log without %v takes what stands after it: %v", lost, err)
	}
}

// The servers of a Redis Cluster have a clock each. The log has the time of its last heartbeat by one of them.
func TestOnlyTheServerThatHoldsTheLogIsAskedForTheTime(t *testing.T) {
	cluster := redistest.StartCluster(t)
	leader := newLeader(t, cluster.URL())
	for range 20 {
		c, err := leader.journal.load(t.Context())
		if err != nil || c.silence < 0 || c.silence > maxSilence {
			t.Fatalf("%+v, %v", c, err)
		}
	}
	for _, server := range cluster.Servers {
		stats, err := server.Client().Info(t.Context(), "commandstats").Result()
		if err != nil {
			t.Fatal(err)
		}
		keys, err := server.Client().DBSize(t.Context()).Result()
		if err != nil {
			t.Fatal(err)
		}
		if holds, asked := keys > 0, strings.Contains(stats, "cmdstat_time:"); holds != asked {
			t.Errorf("%s holds the log: %t; it was asked for the time: %t", server.Addr, holds, asked)
		}
	}
}
