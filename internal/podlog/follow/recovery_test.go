package follow

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pullwatch/internal/podlog"
)

// Requests have failed for so long that the backoff is at its maximum.
func TestALogIsOpenedSoonAfterARecovery(t *testing.T) {
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
		elapse(10 * time.Minute)
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

// A node goes away long before its container ends. If it stays away, the stream ends with a GAP. If it comes back when the
// container has ended, the stream has all lines.
func TestAStreamEndsAlthoughANodeStaysAway(t *testing.T) {
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
					elapse(10 * time.Minute)
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

func TestARecoveryResetsTheBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := newFakeSource(replies(map[string][]reply{"web/app": {fails(errors.New("connection refused"))}}),
			pods(pod("web", running("1"))))
		startStream(t, source, podInput())
		elapse(10 * time.Minute)
		source.mu.Lock()
		before := len(source.requests)
		source.mu.Unlock()
		source.snapshots <- podlog.Snapshot{Pods: []podlog.Pod{pod("web", running("1"))}, Recoveries: 1}
		elapse(recoverySpread + 3*minBackoff)
		source.mu.Lock()
		defer source.mu.Unlock()
		if n := len(source.requests) - before; n < 3 {
			t.Errorf("%d requests after the recovery", n)
		}
	})
}

// A node that cannot read a log says so in its place, whenever the log is opened again.
func TestALogThatTheNodeCannotReadIsNotToldAsResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const words = "failed to create fsnotify watcher: too many open files"
		cannot := ok(text, words+"\n")
		source := newFakeSource(replies(map[string][]reply{"web/app": {
			ok(text, at(0, "a")), cannot, cannot, fails(errBroken), cannot, cannot, ok(hanging, at(0, "a")+at(1, "b")),
		}}), pods(pod("web", running("1"))))
		st := startStream(t, source, podInput())
		var got []string
		for {
			batch, err := nextWithin(t, st, 10*time.Minute)
			if err != nil {
				break
			}
			for _, n := range batch.Notices {
				got = append(got, fmt.Sprintf("%s: %s", n.Kind, n.Message))
			}
			for _, l := range batch.Lines {
				got = append(got, l.Message)
			}
		}
		const again = "RESUMED: its log was opened again and goes on behind the last line"
		want := []string{"STARTED: log opened", "a", again, "WAITING: its log cannot be read now; the node says: " + words, again, "b"}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
