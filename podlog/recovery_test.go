package podlog

import (
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestRecoveryEndsBackoff checks that a follower which has failed for long tries again as soon as its cluster is back.
func TestRecoveryEndsBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var away atomic.Bool
		away.Store(true)
		source := newFakeSource(func(LogRequest) (io.ReadCloser, error) {
			if away.Load() {
				return nil, errors.New("connection refused")
			}
			return hanging(at(0, "a")), nil
		}, Snapshot{Pods: []Pod{pod("web", running("1"))}, Recoveries: 3})
		st := startStream(t, source, podInput())
		pass(10 * time.Minute)
		away.Store(false)
		begun := time.Now()
		source.snapshots <- Snapshot{Pods: []Pod{pod("web", running("1"))}, Recoveries: 4}
		for {
			batch, err := st.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(batch.Lines) > 0 {
				break
			}
		}
		if waited := time.Since(begun); waited > recoverySpread+BatchWindow {
			t.Errorf("the log was open again after %v", waited)
		}
	})
}

// TestRecoveryResetsBackoff checks that an attempt which fails after a recovery is followed by another one soon.
func TestRecoveryResetsBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := newFakeSource(replies(map[string][]reply{"web/app": {fails(errors.New("connection refused"))}}),
			pods(pod("web", running("1"))))
		startStream(t, source, podInput())
		pass(10 * time.Minute)
		source.mu.Lock()
		before := len(source.requests)
		source.mu.Unlock()
		source.snapshots <- Snapshot{Pods: []Pod{pod("web", running("1"))}, Recoveries: 1}
		pass(recoverySpread + 3*minBackoff)
		source.mu.Lock()
		defer source.mu.Unlock()
		if n := len(source.requests) - before; n < 3 {
			t.Errorf("%d attempts after the recovery", n)
		}
	})
}
