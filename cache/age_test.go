package cache

import (
	"testing"
	"testing/synctest"
	"time"

	"pullwatch/internal/redis/redistest"
)

// A watch whose connection hangs stays open for some time, but brings nothing.
func TestListsAgeWhileTheWatchHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, w := &source{}, newLocal()
		s.fails.Store(true)
		w.watching.Store(true)
		l, _ := newLists(t, Options{Source: s, Local: w})
		w.know(1)
		w.hungAt.Store(new(time.Now()))
		for range 19 {
			time.Sleep(ActiveTTL/10 + time.Millisecond) // fake time
			hung := time.Since(*w.hungAt.Load())
			r, err := l.Active(t.Context())
			if err != nil || r.Age != time.Since(*w.hungAt.Load()) || r.Stale != (hung > ActiveTTL) {
				t.Errorf("after %v: age %v, stale %v, %v", hung, r.Age, r.Stale, err)
			}
		}
	})
}

func TestTheAgeOfListsInRedisCountsFromTheLeadersProof(t *testing.T) {
	server := redistest.Start(t)
	w := newLocal()
	w.watching.Store(true)
	w.hungAt.Store(new(time.Now().Add(-3 * time.Second)))
	newReplica(t, server.URL(), Options{Source: &source{}, Local: w, Leads: func() bool { return true }})
	w.know(1)
	eventually(t, "written", func() bool { return inRedis(t, server, active) == "1" })
	s := &source{}
	l, _ := newReplica(t, server.URL(), Options{Source: s})
	if r, err := l.Active(t.Context()); err != nil || r.Age < 3*time.Second || r.Stale || s.loads.Load() > 0 {
		t.Errorf("age %v, stale %v, %d loads, %v", r.Age, r.Stale, s.loads.Load(), err)
	}
	// A list that is not proven any more does not replace one that was loaded since.
	w.hungAt.Store(new(time.Now().Add(-ActiveTTL)))
	w.know(2)
	age(t, server, ActiveTTL)
	expire(l, ActiveTTL)
	expect(t, l, active, 1, tierKubernetes)
	eventually(t, "loaded lists are written", func() bool { return inRedis(t, server, failed) == "2" })
	if version := inRedis(t, server, active); version != "1" {
		t.Errorf("the active pulls in Redis are of version %s, want the loaded ones", version)
	}
}
