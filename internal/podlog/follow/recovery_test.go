package follow

import (
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pullwatch/internal/podlog"
)

// TestRecoveryEndsBackoff checks that a follower which has failed for long tries again as soon as its cluster is back.
func TestRecoveryEndsBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var away atomic.Bool
		away.Store(true)
		source := newFakeSource(func(podlog.LogRequest) (io.ReadCloser, error) {
			if away.Load() {
				return nil, errors.New("connection refused")
			}
			return hanging(at(0, "a")), nil
		}, podlog.Snapshot{Pods: []podlog.Pod{pod("web", running("1"))}, Recoveries: 3})
		st := startStream(t, source, podInput())
		pass(10 * time.Minute)
		away.Store(false)
		begun := time.Now()
		source.snapshots <- podlog.Snapshot{Pods: []podlog.Pod{pod("web", running("1"))}, Recoveries: 4}
		for {
			batch, err := st.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(batch.Lines) > 0 {
				break
			}
		}
		if waited := time.Since(begun); waited > recoverySpread+podlog.BatchWindow {
			t.Errorf("the log was open again after %v", waited)
		}
	})
}

// TestNodeThatIsAwayBeyondTheEnd checks that a stream ends, and says what is missing, when the node of its container went
// away long before the container's end and does not come back, and that it brings the rest when the node comes back
// with the end.
func TestNodeThatIsAwayBeyondTheEnd(t *testing.T) {
	const gap = "GAP web/app: lines may be missing: its log could not be read to the end: the node does not answer"
	for name, test := range map[string]struct {
		away           time.Duration
		lines, notices []string
	}{
		"for ever": {
			away: time.Hour, lines: []string{"web/app: a"},
			notices: []string{started, waiting, gap, "ENDED web/app: its log could not be read to the end: the node does not answer"},
		},
		"for a little longer": {
			away: 10*time.Minute + 2*time.Second, lines: []string{"web/app: a", "web/app: b"},
			notices: []string{started, waiting, resumed, completed},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				first := true
				source := newFakeSource(func(req podlog.LogRequest) (io.ReadCloser, error) {
					switch {
					case first:
						first = false
						return broken(at(0, "a")), nil
					case time.Since(begun) < test.away:
						return nil, errors.New("connection refused")
					default:
						return logFrom([]string{at(0, "a"), at(1, "b")})(req)
					}
				}, pods(pod("web", running("1"))))
				in := podlog.Input{Namespace: "default", Job: ptr("copy"), Follow: true}
				st := startStream(t, source, in)
				go func() {
					pass(10 * time.Minute)
					source.snapshots <- podlog.Snapshot{Pods: []podlog.Pod{finished(pod("web", ended("1", 0, "Completed")))}, Final: true}
				}()
				wantEvents(t, st, test.lines, test.notices)
				if took := time.Since(begun); took > 15*time.Minute {
					t.Errorf("the stream ended after %v", took)
				}
			})
		})
	}
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
		source.snapshots <- podlog.Snapshot{Pods: []podlog.Pod{pod("web", running("1"))}, Recoveries: 1}
		pass(recoverySpread + 3*minBackoff)
		source.mu.Lock()
		defer source.mu.Unlock()
		if n := len(source.requests) - before; n < 3 {
			t.Errorf("%d attempts after the recovery", n)
		}
	})
}
