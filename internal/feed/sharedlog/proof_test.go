package sharedlog

import (
	"testing"
	"time"

	"pullwatch/internal/redis/redistest"
)

// A leader sends heartbeats as long as its watch is open, even if nothing can arrive there.
func TestReplicasLearnHowLongTheLeadersWatchIsUnproven(t *testing.T) {
	server := redistest.Start(t)
	leader := newLeader(t, server.URL())
	other := newReplica(t, server.URL(), "other", false)
	other.awaitLive(t, true)
	progress, unsubscribe := other.progress.Subscribe()
	defer unsubscribe()
	leader.unproven.Store(int64(time.Minute))
	deadline := time.After(time.Minute)
	for old := false; !old; {
		select {
		case <-progress:
			proven := other.Proven()
			old = !proven.IsZero() && time.Since(proven) >= time.Minute
		case <-deadline:
			t.Fatalf("proven %v ago, want a minute", time.Since(other.Proven()))
		}
	}
	if !other.Live() {
		t.Error("the leader is missed although it sends heartbeats")
	}
}
