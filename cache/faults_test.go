package cache

import (
	"testing"
	"time"

	"pullwatch/internal/redis/redistest"
)

func TestListsAreServedWithoutRedis(t *testing.T) {
	for name, fault := range map[string]struct{ begin, end func(*redistest.Server) }{
		"killed": {(*redistest.Server).Kill, (*redistest.Server).Restart},
		"paused": {(*redistest.Server).Pause, (*redistest.Server).Resume},
	} {
		t.Run(name, func(t *testing.T) {
			server := redistest.Start(t)
			s := &source{}
			l, _ := newReplica(t, server.URL(), Options{Source: s})
			expect(t, l, active, 1, tierKubernetes)
			eventually(t, "filled", func() bool { return inRedis(t, server, active) == "1" })
			l.redis.timeout = redisTimeout
			var count trips
			l.redis.client.AddHook(&count)
			fault.begin(server)
			expire(l, memoryTTL)
			expect(t, l, active, 1, tierMemory) // it may be older than memoryTTL
			expire(l, ActiveTTL)
			expect(t, l, active, 2, tierKubernetes)
			for range 3 {
				expire(l, memoryTTL)
				expect(t, l, active, 2, tierMemory)
			}
			count.n.Store(0)
			for range 10 {
				expire(l, memoryTTL)
				expect(t, l, active, 2, tierMemory)
			}
			if n := count.n.Load(); n > 1 {
				t.Errorf("Redis has been away for long, and yet %d reads asked it", n)
			}
			fault.end(server)
			eventually(t, "Redis is used again", func() bool {
				expire(l, ActiveTTL)
				_, _, err := l.find(t.Context(), active)
				return err == nil && l.memory[active].Load().from == tierRedis
			})
		})
	}
}

func TestStaleListsAreServedWithoutRedisAndKubernetes(t *testing.T) {
	server := redistest.Start(t)
	good, bad := &source{}, &source{}
	bad.fails.Store(true)
	a, _ := newReplica(t, server.URL(), Options{Source: good})
	expect(t, a, active, 1, tierKubernetes)
	eventually(t, "filled", func() bool { return inRedis(t, server, active) == "1" })
	age(t, server, time.Minute)
	b, _ := newReplica(t, server.URL(), Options{Source: bad})
	for range 2 {
		r, err := b.Active(t.Context())
		if err != nil || len(r.States) != 1 || !r.Stale || r.Age < time.Minute || r.Age > 2*time.Minute {
			t.Errorf("%d pulls, stale %v, age %v, %v", len(r.States), r.Stale, r.Age, err)
		}
	}
	server.Kill()
	expire(b, memoryTTL)
	expect(t, b, active, 1, tierStale)
}

func TestListsAreLoadedAgainAfterRedisIsFlushed(t *testing.T) {
	server := redistest.Start(t)
	l, _ := newReplica(t, server.URL(), Options{Source: &source{}})
	expect(t, l, active, 1, tierKubernetes)
	eventually(t, "filled", func() bool { return inRedis(t, server, active) == "1" })
	if err := server.Client().FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if err := server.Client().ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	expire(l, memoryTTL)
	expect(t, l, active, 2, tierKubernetes)
	eventually(t, "filled again", func() bool { return inRedis(t, server, active) == "2" })
}

func TestListsAreServedWhileRedisIsOutOfMemory(t *testing.T) {
	server := redistest.Start(t)
	l, _ := newReplica(t, server.URL(), Options{Source: &source{}})
	expect(t, l, active, 1, tierKubernetes)
	eventually(t, "filled", func() bool { return inRedis(t, server, active) == "1" })
	if err := server.Client().ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	expire(l, memoryTTL)
	expect(t, l, active, 1, tierRedis) // reads still work
	age(t, server, ActiveTTL)
	expire(l, memoryTTL)
	expect(t, l, active, 2, tierKubernetes)
	expire(l, ActiveTTL)
	expect(t, l, active, 3, tierKubernetes)
	if err := server.Client().ConfigSet(t.Context(), "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "filled again", func() bool {
		expire(l, ActiveTTL)
		_, _, err := l.find(t.Context(), active)
		version := inRedis(t, server, active)
		return err == nil && version != "1"
	})
}

func TestUnreadableListsInRedisAreReplaced(t *testing.T) {
	key := testKeys + "active"
	for name, spoil := range map[string]func(*testing.T, *redistest.Server) error{
		"a string": func(t *testing.T, s *redistest.Server) error {
			return s.Client().Set(t.Context(), key, "garbage", 2*retention).Err()
		},
		"a hash of something else": func(t *testing.T, s *redistest.Server) error {
			s.Client().Del(t.Context(), key)
			return s.Client().HSet(t.Context(), key, "a", "b").Err()
		},
		"other content": func(t *testing.T, s *redistest.Server) error {
			return s.Client().HSet(t.Context(), key, "data", "garbage").Err()
		},
		"content of a newer version": func(t *testing.T, s *redistest.Server) error {
			data := string([]byte{9, 1, 2})
			return s.Client().HSet(t.Context(), key, "data", data, "stamp", stampOf([]byte(data)),
				"version", "99999999999999999999").Err()
		},
		"no content": func(t *testing.T, s *redistest.Server) error {
			return s.Client().HDel(t.Context(), key, "data").Err()
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := redistest.Start(t)
			a, _ := newReplica(t, server.URL(), Options{Source: &source{}})
			expect(t, a, active, 1, tierKubernetes)
			eventually(t, "filled", func() bool { return inRedis(t, server, active) == "1" })
			if err := spoil(t, server); err != nil {
				t.Fatal(err)
			}
			s := &source{}
			s.version.Store(1)
			b, _ := newReplica(t, server.URL(), Options{Source: s})
			expect(t, b, active, 2, tierKubernetes)
			eventually(t, "replaced", func() bool { return inRedis(t, server, active) == "2" })
			c, _ := newReplica(t, server.URL(), Options{Source: &source{}})
			expect(t, c, active, 2, tierRedis)
		})
	}
}

func TestTheLeadersRenewalReplacesUnreadableLists(t *testing.T) {
	server := redistest.Start(t)
	_, leader := newLeader(t, server.URL())
	leader.know(1)
	eventually(t, "written", func() bool { return inRedis(t, server, active) == "1" })
	if err := server.Client().Set(t.Context(), testKeys+"active", "garbage", 0).Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "replaced", func() bool { return inRedis(t, server, active) == "1" })
}

func TestReplicasShareListsThroughEveryKindOfRedis(t *testing.T) {
	check := func(t *testing.T, url string) {
		s := &source{}
		a, _ := newReplica(t, url, Options{Source: s})
		expect(t, a, active, 1, tierKubernetes)
		b, _ := newReplica(t, url, Options{Source: s})
		eventually(t, "the other one reads it from Redis", func() bool {
			e, _, err := b.find(t.Context(), active)
			return err == nil && e.from == tierRedis
		})
	}
	t.Run("cluster", func(t *testing.T) { check(t, redistest.StartCluster(t).URL()) })
	t.Run("failover", func(t *testing.T) {
		set := redistest.StartReplicaSet(t)
		s := &source{}
		l, _ := newReplica(t, set.URL(), Options{Source: s})
		expect(t, l, active, 1, tierKubernetes)
		set.Failover()
		eventually(t, "the lists are in Redis again", func() bool {
			expire(l, ActiveTTL)
			e, _, err := l.find(t.Context(), active)
			return err == nil && e.from == tierRedis
		})
	})
}

func TestListsDoNotGoBackWhenRedisReturnsWithOlderOnes(t *testing.T) {
	server := redistest.Start(t)
	s := &source{}
	l, _ := newReplica(t, server.URL(), Options{Source: s})
	expect(t, l, active, 1, tierKubernetes)
	eventually(t, "filled", func() bool { return inRedis(t, server, active) == "1" })
	newer := snapshotOf(5)
	loaded := &entry{states: newer.Active, version: 5, asOf: time.Now(), proven: time.Now(), from: tierKubernetes}
	l.memory[active].Store(loaded) // while Redis was away
	expect(t, l, active, 5, tierMemory)
	expect(t, l, failed, 1, tierMemory)
	_, leader := newLeader(t, server.URL())
	leader.know(6)
	eventually(t, "written", func() bool { return inRedis(t, server, active) == "6" })
	expire(l, memoryTTL)
	expect(t, l, active, 6, tierRedis)
}
