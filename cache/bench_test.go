package cache

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"pullwatch/internal/pull"
	"pullwatch/internal/redis/redistest"
)

// still is a source whose lists do not change.
type still struct{ snapshot Snapshot }

func (s *still) Load(context.Context) (Snapshot, error) { return s.snapshot, nil }

// realistic returns lists of n pulls each, with states as large as those of a real cluster.
func realistic(n int) Snapshot {
	s := Snapshot{Version: 1}
	now := time.Now().UTC()
	number := func(n int64) *int64 { return &n }
	for i := range n {
		tag := "1.27." + strconv.Itoa(i)
		state := pull.State{
			ID: fmt.Sprintf("pull-%016x-%d", uint64(i)*0x9e3779b97f4a7c15, i%3), Phase: pull.Pulling,
			Image: pull.ImageReference{Name: "docker.io/library/nginx:" + tag, Registry: "docker.io",
				Repository: "library/nginx", Tag: &tag},
			Destination: pull.ImageReference{Name: "harbor.example/mirror/library/nginx:" + tag,
				Registry: "harbor.example", Repository: "mirror/library/nginx", Tag: &tag},
			Message: "copying 3 of 7 blobs", Attempts: 1, CreatedAt: now, StartedAt: now, UpdatedAt: now,
			Progress: pull.Progress{Percent: i % 100, BytesDone: int64(i) * 7919, BytesTotal: number(1 << 30),
				BytesPerSecond: number(int64(i) * 104729)},
			Revision: pull.Revision{Cluster: 5_000_000 + uint64(i)},
		}
		s.Active = append(s.Active, &state)
		ended := state
		ended.Phase, ended.FinishedAt = pull.Failed, now
		ended.Failure = &pull.Failure{Reason: pull.Network, Message: "dial tcp 10.0.0.1:443: i/o timeout",
			LogTail: []string{"reading the manifest", "trying again in 2s", "dial tcp 10.0.0.1:443: i/o timeout"}}
		s.Failed = append(s.Failed, &ended)
	}
	return s
}

// BenchmarkHit reads a list from Redis, with content that is not known (redis) and with content that is (unchanged).
func BenchmarkHit(b *testing.B) {
	for _, n := range []int{100, 1_000, 10_000} {
		server := redistest.Start(b)
		l, _ := newReplica(b, server.URL(), Options{Source: &still{realistic(n)}})
		expect(b, l, active, n, tierKubernetes)
		eventually(b, "filled", func() bool { return inRedis(b, server, failed) == "1" })
		again := func(from tier, before func()) func(*testing.B) {
			return func(b *testing.B) {
				// Nobody refreshes the lists. How fast they are read does not depend on their age.
				for k := range kinds {
					server.Client().PExpire(b.Context(), testKeys+k.String(), 2*retention)
				}
				_, _, _ = l.find(b.Context(), active)
				for b.Loop() {
					before()
					if _, got, err := l.find(b.Context(), active); err != nil || got != from {
						b.Fatalf("from %v, %v", got, err)
					}
				}
			}
		}
		b.Run(fmt.Sprintf("redis/%d", n), again(tierRedis, func() {
			l.memory[active].Store(nil)
			l.memory[failed].Store(nil)
		}))
		b.Run(fmt.Sprintf("unchanged/%d", n), again(tierRedis, func() { expire(l, memoryTTL) }))
	}
}

// BenchmarkMemory reads a list that is in memory, as resolvers do, on all processors.
func BenchmarkMemory(b *testing.B) {
	w := newLocal()
	w.watching.Store(true)
	snapshot := realistic(1_000)
	w.snapshot.Store(&snapshot)
	l, _ := newLists(b, Options{Source: &source{}, Local: w})
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if _, err := l.Active(b.Context()); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkContent packs and unpacks one list.
func BenchmarkContent(b *testing.B) {
	for _, n := range []int{100, 1_000, 10_000} {
		states := realistic(n).Active
		data, stamp, err := new(encoder).encode(states)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("encode/%d", n), func(b *testing.B) {
			for b.Loop() {
				_, _, _ = new(encoder).encode(states)
			}
			b.ReportMetric(float64(len(data)), "bytes")
		})
		b.Run(fmt.Sprintf("decode/%d", n), func(b *testing.B) {
			for b.Loop() {
				_, _ = decodeStates(data, stamp)
			}
		})
	}
}
