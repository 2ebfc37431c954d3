package follow

import (
	"errors"
	"io"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pullwatch/internal/podlog"
)

// restarts is a container that has been restarted: second follows first.
func restarts(first, second podlog.Run, waiting string) podlog.Container {
	second.Restarts = 1
	c := podlog.Container{Name: "app", Run: second, Previous: first, Waiting: waiting}
	if waiting != "" {
		c.Previous = second
	}
	return c
}

// As a node does, the source gives the log of the next run when it is asked for that of the run that the status shows.
func TestARestartBeforeTheLogIsOpenIsNoticed(t *testing.T) {
	const missed = "GAP web/app: lines may be missing: it was restarted 1 times before its log could be read"
	first := podlog.Run{ID: "1", ExitCode: 1, Reason: "Error", Started: start}
	second := podlog.Run{ID: "2", Started: start.Add(2 * time.Second), Reason: "Completed"}
	going := second
	going.Running = true
	ofFirst, ofSecond := at(1900, "a"), at(2100, "b")+at(2200, "c")
	for _, test := range []struct {
		name string
		// statuses are the container's, one after the other. In the last one the pod has finished. opens are the logs in each.
		statuses []podlog.Container
		opens    []string
		lines    []string
		notices  []string
	}{
		{
			name:     "the next run goes on",
			statuses: []podlog.Container{running("1"), restarts(first, going, ""), restarts(first, second, "")},
			opens:    []string{ofSecond, ofSecond, ofSecond + at(3000, "d")},
			lines:    []string{"web/app: b", "web/app: c", "web/app: d"}, notices: []string{started, missed, resumed, completed},
		},
		{
			name:     "the next run has ended too",
			statuses: []podlog.Container{running("1"), restarts(first, second, "CrashLoopBackOff"), restarts(first, second, "")},
			opens:    []string{ofSecond, ofSecond + at(3000, "d"), ofSecond + at(3000, "d")},
			lines:    []string{"web/app: b", "web/app: c", "web/app: d"}, notices: []string{started, missed, completed, "WAITING web/app: CrashLoopBackOff"},
		},
		{
			name:     "its first line is older than its start, which is noted behind it",
			statuses: []podlog.Container{running("1"), restarts(first, going, ""), restarts(first, second, "")},
			opens:    []string{at(1999, "b"), at(1999, "b") + at(2200, "c"), at(1999, "b") + at(2200, "c")},
			lines:    []string{"web/app: b", "web/app: c"}, notices: []string{started, missed, completed},
		},
		{
			name:     "the first run is taken for ended before",
			statuses: []podlog.Container{running("1"), {Name: "app", Run: first}, restarts(first, going, ""), restarts(first, second, "")},
			opens:    []string{ofSecond, ofSecond, ofSecond + at(3000, "d"), ofSecond + at(3000, "d")},
			lines:    []string{"web/app: b", "web/app: c", "web/app: d"},
			notices:  []string{started, "ENDED web/app: exit code 1 (Error)", missed, started, completed},
		},
		{
			name:     "the log was the right one, though its run ended in the second in which the next began",
			statuses: []podlog.Container{running("1"), restarts(first, podlog.Run{ID: "2", Started: start.Add(time.Second), Reason: "Completed"}, "")},
			opens:    []string{ofFirst, ofSecond},
			lines:    []string{"web/app: a", "web/app: b", "web/app: c"},
			notices:  []string{started, "ENDED web/app: exit code 1 (Error)", started, completed},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var index atomic.Int32
				source := newFakeSource(func(req podlog.LogRequest) (io.ReadCloser, error) {
					current := test.opens[index.Load()]
					switch {
					case req.Previous && test.statuses[index.Load()].Waiting == "":
						current = ofFirst
					case req.Follow:
						return hanging(current), nil
					}
					return logOf(current)(req)
				}, pods(pod("web", test.statuses[0])))
				st := startStream(t, source, podInput())
				go func() {
					for i := 1; i < len(test.statuses); i++ {
						elapse(time.Minute)
						index.Store(int32(i))
						p := pod("web", test.statuses[i])
						p.Finished = i == len(test.statuses)-1
						source.snapshots <- pods(p)
					}
				}()
				wantEvents(t, st, test.lines, test.notices)
			})
		})
	}
}

// The stream before has read lines of the second run as those of the first.
func TestResumingAfterAnUnnoticedRestartRepeatsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := newFakeSource(func(podlog.LogRequest) (io.ReadCloser, error) { return hanging(at(2100, "b")), nil },
			pods(pod("web", running("1"))))
		st := startStream(t, source, podInput())
		elapse(time.Second)
		batch, err := next(t, st)
		if err != nil || len(batch.Lines) != 1 {
			t.Fatalf("got %v, %v", batch, err)
		}
		st.Close()
		second := podlog.Run{ID: "2", Started: start.Add(2 * time.Second), ExitCode: 1}
		source = newFakeSource(logOf(at(2100, "b")+at(2200, "c")),
			pods(finished(pod("web", restarts(podlog.Run{}, second, "CrashLoopBackOff")))))
		in := podInput()
		in.After = &batch.Cursor
		wantEvents(t, startStream(t, source, in), []string{"web/app: c"}, []string{
			"RESUMED stream: the stream goes on behind its cursor",
			"GAP web/app: lines may be missing: it was restarted 1 times before its log could be read",
			"ENDED web/app: exit code 1",
		})
	})
}

// Lines of the second run are read as those of the first. The response that would show that is cut off.
func TestAResponseThatIsCutOffDoesNotChangeTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := podlog.Run{ID: "1", ExitCode: 1, Reason: "Error", Started: start}
		second := podlog.Run{ID: "2", Started: start.Add(2 * time.Second), Reason: "Completed"}
		going := second
		going.Running = true
		whole := at(2050, "a") + at(2100, "b")
		var cut atomic.Bool
		source := newFakeSource(func(req podlog.LogRequest) (io.ReadCloser, error) {
			switch {
			case req.Follow:
				return hanging(whole), nil
			case req.Previous:
				return text(at(1900, "unread")), nil
			case req.Tail == nil && cut.CompareAndSwap(false, true):
				return text(at(2050, "a")), nil
			}
			return logFrom([]string{at(2050, "a"), at(2100, "b")})(req)
		}, pods(pod("web", running("1"))))
		st := startStream(t, source, podInput())
		go func() {
			elapse(time.Minute)
			source.snapshots <- pods(pod("web", restarts(first, going, "")))
			elapse(time.Minute)
			source.snapshots <- pods(finished(pod("web", restarts(first, second, ""))))
		}()
		wantEvents(t, st, []string{"web/app: a", "web/app: b"}, []string{
			started, "GAP web/app: lines may be missing: it was restarted 1 times before its log could be read", completed,
		})
	})
}

// A run has ended. The source gives the log of the next run for it, which is still empty. The status shows the next run a
// second later.
func TestAnEmptyLogIsNotTakenForThatOfAnotherRun(t *testing.T) {
	first := podlog.Run{ID: "1", ExitCode: 1, Reason: "Error", Started: start}
	second := podlog.Run{ID: "2", Started: start.Add(2 * time.Second), Reason: "Completed"}
	const failed = "ENDED web/app: exit code 1 (Error)"
	for _, test := range []struct {
		name     string
		next     podlog.Container
		previous string
		lines    []string
		notices  []string
	}{
		{
			name: "it has lines", next: restarts(first, second, ""), previous: at(100, "a"),
			lines: []string{"web/app: a", "web/app: b"}, notices: []string{started, failed, started, completed},
		},
		{
			name: "it has none", next: restarts(first, second, ""),
			lines: []string{"web/app: b"}, notices: []string{started, failed, started, completed},
		},
		{
			name: "the next one has ended, too", next: restarts(first, second, "CrashLoopBackOff"),
			lines: []string{"web/app: b"}, notices: []string{started, unread, failed, started, completed},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var begun atomic.Bool
				source := newFakeSource(func(req podlog.LogRequest) (io.ReadCloser, error) {
					switch {
					case req.Previous:
						return text(test.previous), nil
					case begun.Load():
						return text(at(2100, "b")), nil
					}
					return text(""), nil
				}, pods(pod("web", podlog.Container{Name: "app", Run: first})))
				st := startStream(t, source, podInput())
				go func() {
					elapse(time.Second)
					begun.Store(true)
					source.snapshots <- pods(finished(pod("web", test.next)))
				}()
				wantEvents(t, st, test.lines, test.notices)
			})
		})
	}
}

// A container restarts in the second in which its log ended. All of that log was read. Whether it was that of the next run
// is not known until the node answers again.
func TestARestartWhileTheNodeIsAwayLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := podlog.Run{ID: "1", ExitCode: 1, Reason: "Error", Started: start}
		going := podlog.Run{ID: "2", Started: start.Add(2 * time.Second), Running: true}
		second := podlog.Run{ID: "2", Started: going.Started, Reason: "Completed"}
		began := time.Now()
		source := newFakeSource(func(req podlog.LogRequest) (io.ReadCloser, error) {
			switch since := time.Since(began); {
			case since < time.Minute, req.Previous && since > 2*time.Minute:
				return logOf(at(2100, "a"))(req)
			case since < 2*time.Minute:
				return nil, errors.New("connection refused")
			case req.Follow:
				return hanging(at(2200, "b")), nil
			}
			return logOf(at(2200, "b"))(req)
		}, pods(pod("web", podlog.Container{Name: "app", Run: first})))
		st := startStream(t, source, podInput())
		go func() {
			elapse(time.Minute)
			source.snapshots <- pods(pod("web", restarts(first, going, "")))
			elapse(time.Hour)
			source.snapshots <- pods(finished(pod("web", restarts(first, second, ""))))
		}()
		wantEvents(t, st, []string{"web/app: a", "web/app: b"}, []string{
			started, "ENDED web/app: exit code 1 (Error)", waiting,
			started, completed,
		})
	})
}

// The log that is followed for the first run is that of the second, which goes on. The GAP for the first run must not wait
// for the end of the second.
func TestAMissedRunIsReportedWhileTheNextGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := podlog.Run{ID: "1", ExitCode: 1, Reason: "Error", Started: start}
		going := podlog.Run{ID: "2", Started: start.Add(2 * time.Second), Running: true}
		read, write := io.Pipe()
		source := newFakeSource(func(req podlog.LogRequest) (io.ReadCloser, error) {
			if req.Follow && req.Run == "1" {
				return read, nil
			}
			return hanging(at(3100, "b") + at(3200, "c")), nil
		}, pods(pod("web", running("1"))))
		st := startStream(t, source, podInput())
		_, _ = io.WriteString(write, at(3100, "b"))
		source.snapshots <- pods(pod("web", restarts(first, going, "")))
		elapse(time.Second)
		_, _ = io.WriteString(write, at(3200, "c"))
		elapse(time.Second)
		var got events
		for {
			batch, err := next(t, st)
			if err != nil {
				break
			}
			got.add(batch)
		}
		want := []string{started, "GAP web/app: lines may be missing: it was restarted 1 times before its log could be read"}
		if len(got.notices) < 2 || !slices.Equal(got.notices[:2], want) || len(got.lines) != 2 {
			t.Errorf("got %v", got)
		}
	})
}
