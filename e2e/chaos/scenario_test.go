package chaos

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pullwatch/e2e/harness"
)

// Cases that would come up too rarely by chance.

// While the leader's Redis hangs the others publish by themselves. Pulls that are started then are not in the shared log
// when the next leader takes it over.
func TestPullsStartedWhileTheLeaderCannotPublishAreNotReportedLost(t *testing.T) {
	needLong(t)
	for _, c := range []struct {
		name string
		// leave takes the leader away, come brings it back.
		leave, come func(*replica, *testing.T)
		// early means that it comes back as soon as another leads, and attaches to the log, which the third replica does
		// otherwise.
		early bool
		// pods take so many times as long as usual: pulls live when the next leader leads, or have ended without the old.
		pods float64
	}{
		{name: "the leader ends", leave: (*replica).terminate, come: (*replica).start, pods: 10},
		{name: "the leader pauses", leave: (*replica).freeze, come: (*replica).thaw, early: true, pods: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, 1, alone, c.pods)
			for _, r := range w.replicas {
				w.add(&subscriber{at: r})
			}
			old := w.leader()
			hang := w.journal.begin(fault{name: "redis-hang-leader", part: redisPart}, []*replica{old})
			old.redis.Hang()
			for _, r := range w.but(old) {
				harness.Eventually(t, "the others publish by themselves", func() bool {
					live, err := r.gauge(t.Context(), "pullwatch_stream_live")
					return err == nil && live == 0
				})
			}
			ids := w.startPulls(w.but(old)[0], "alone", maxParallel)
			for _, s := range w.subscribers {
				harness.Eventually(t, "all clients know all pulls", func() bool { return s.knows(ids) })
			}

			c.leave(old, t)
			next := w.awaitOtherLeader(old)
			// It writes this one into the log, and with it how far the log goes.
			w.startPulls(next, "after", 1)
			third := w.but(old, next)[0]
			if c.early {
				harness.Pause(t, 50*time.Millisecond) // it takes the log over
				old.redis.Restore(t)
				c.come(old, t)
			}
			for range 6 {
				if !c.early {
					third.redis.Reset()
					third.redis.Restore(t)
				}
				harness.Pause(t, 350*time.Millisecond)
			}
			if !c.early {
				old.redis.Restore(t)
				c.come(old, t)
			}
			w.journal.end(hang)
			w.finish()
		})
	}
}

// A leader that was paused, like a virtual machine, knows less than its clients when it goes on. It must not send them states that
// are older than theirs, and least of all leave them with those.
func TestClientsThatResumeOnALeaderThatWakesGetNothingOld(t *testing.T) {
	needLong(t)
	const rounds, clients = 3, 16
	w := newWorld(t, 1, alone, 1)
	for round := range rounds {
		old := w.leader()
		elsewhere := w.add(&subscriber{at: w.but(old)[0]})
		ids := w.startPulls(w.but(old)[0], fmt.Sprint("round", round), maxParallel)
		harness.Eventually(t, "all pulls run", func() bool {
			return len(w.truth.some(func(j *job) bool { return slices.Contains(ids, j.id) && !j.suspended })) == len(ids)
		})
		stop := w.journal.begin(fault{name: "stop-leader", part: processes}, []*replica{old})
		old.freeze(t)
		w.awaitOtherLeader(old)
		harness.Eventually(t, "a client elsewhere knows how all pulls have ended", func() bool {
			return len(elsewhere.lacking(w.truth.snapshot())) == 0
		})
		for range clients {
			w.add(elsewhere.moved(old))
		}
		harness.Pause(t, 50*time.Millisecond) // the clients are connecting
		old.thaw(t)
		w.journal.end(stop)
		harness.Pause(t, 6*time.Second) // as long as clients would wait
	}
	w.finish()
}

func needLong(t *testing.T) {
	t.Helper()
	if !*long {
		t.Skip("it is part of make chaos")
	}
}

// knows reports whether the subscriber has got a state of each of the pulls.
func (s *subscriber) knows(ids []string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := map[string]bool{}
	for _, d := range s.deliveries {
		known[d.ID] = true
	}
	return !slices.ContainsFunc(ids, func(id string) bool { return !known[id] })
}

// moved returns a new subscriber that has got the same states and goes on at a replica.
func (s *subscriber) moved(to *replica) *subscriber {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &subscriber{at: to, after: s.after, deliveries: slices.Clone(s.deliveries), connections: slices.Clone(s.connections)}
}

// but returns all replicas except some.
func (w *world) but(some ...*replica) []*replica {
	return slices.DeleteFunc(slices.Clone(w.replicas), func(r *replica) bool { return slices.Contains(some, r) })
}

// awaitOtherLeader waits until another replica leads, and returns it.
func (w *world) awaitOtherLeader(old *replica) *replica {
	w.t.Helper()
	var next *replica
	harness.Eventually(w.t, "another replica leads", func() bool {
		next = w.leader()
		return next != nil && next != old
	})
	return next
}

// startPulls starts pulls that will succeed, through a replica, and returns their ids.
func (w *world) startPulls(r *replica, name string, n int) []string {
	w.t.Helper()
	var images []string
	for i := range n {
		images = append(images, fmt.Sprintf("source.example/%s-%s-%d:1", good, name, i))
	}
	var data started
	if err := r.process.Ask(w.t.Context(), startPulls, map[string]any{"images": images}, &data); err != nil {
		w.t.Fatal(err)
	}
	if ids := data.ids(); len(ids) == n {
		return ids
	}
	w.t.Fatalf("%d pulls were started, not %d", len(data.ids()), n)
	return nil
}
