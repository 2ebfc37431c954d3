package cache

import (
	"sync/atomic"
	"testing"
	"time"

	"pullwatch/internal/redis/redistest"
)

// newLeader returns the Lists of a leader, and what it knows.
func newLeader(t testing.TB, url string) (*Lists, *local) {
	w := newLocal()
	w.watching.Store(true)
	l, _ := newReplica(t, url, Options{Source: &source{}, Local: w, Leads: func() bool { return true }})
	return l, w
}

func TestTheLeaderRenewsTheListsInRedis(t *testing.T) {
	server := redistest.Start(t)
	_, leader := newLeader(t, server.URL())
	leader.know(1)
	eventually(t, "written", func() bool { return inRedis(t, server, failed) == "1" })
	for k := range kinds {
		left := server.Client().PTTL(t.Context(), testKeys+k.String()).Val()
		if full := k.ttl() + retention; left > full || left < full-time.Minute {
			t.Errorf("%v lives for %v", k, left)
		}
	}
	age(t, server, ActiveTTL)
	fresh := func() bool {
		return server.Client().PTTL(t.Context(), testKeys+"active").Val() > retention+ActiveTTL-refreshAhead
	}
	eventually(t, "renewed without a change", fresh)
	if err := server.Client().FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "written again", func() bool { return inRedis(t, server, active) == "1" })
}

func TestOnlyTheLeaderWritesAhead(t *testing.T) {
	server := redistest.Start(t)
	w := newLocal()
	w.watching.Store(true)
	var leads atomic.Bool
	asked := make(chan struct{}, 1)
	l, _ := newReplica(t, server.URL(), Options{Source: &source{}, Local: w, Leads: func() bool {
		select {
		case asked <- struct{}{}:
		default:
		}
		return leads.Load()
	}})
	w.know(1)
	<-asked
	expect(t, l, active, 1, tierMemory)
	if version := inRedis(t, server, active); version != "" {
		t.Errorf("version %s is written", version)
	}
	leads.Store(true)
	w.know(2)
	eventually(t, "written", func() bool { return inRedis(t, server, active) == "2" })
}

func TestANewerListIsNotOverwritten(t *testing.T) {
	server := redistest.Start(t)
	l, _ := newReplica(t, server.URL(), Options{Source: &source{}})
	w := &writer{Lists: l}
	do := func(version int, ago time.Duration) {
		t.Helper()
		snapshot := snapshotOf(version)
		snapshot.AsOf = time.Now().Add(-ago)
		snapshot.Proven = snapshot.AsOf
		if err := w.do(t.Context(), write{snapshot: &snapshot}); err != nil {
			t.Error(err)
		}
	}
	versions := func(want string) {
		t.Helper()
		if got := inRedis(t, server, active) + " " + inRedis(t, server, failed); got != want {
			t.Errorf("versions %s, want %s", got, want)
		}
	}
	do(9, 0)
	do(8, 0)
	versions("9 9")
	do(10, 0) // versions compare as numbers
	versions("10 10")
	do(9, 0)
	versions("10 10")
	left := server.Client().PTTL(t.Context(), testKeys+"active").Val()
	do(10, 3*time.Second) // of the same version, but taken earlier
	if now := server.Client().PTTL(t.Context(), testKeys+"active").Val(); now < left-time.Second {
		t.Errorf("%v to live became %v", left, now)
	}
	do(11, time.Hour) // as by a process that was stopped
	versions("10 10")
	age(t, server, ActiveTTL) // a list that is not fresh is replaced, whatever its version
	do(7, 0)
	versions("7 10")
}
