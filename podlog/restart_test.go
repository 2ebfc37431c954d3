package podlog

import (
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// restarts is a container that has been restarted: second follows first.
func restarts(first, second Run, waiting string) Container {
	second.Restarts = 1
	c := Container{Name: "app", Run: second, Previous: first, Waiting: waiting}
	if waiting != "" {
		c.Previous = second
	}
	return c
}

// TestRestartBeforeTheLogIsOpen gives, as a node does, the log of the next run to a request for that of the one which
// the status shows.
func TestRestartBeforeTheLogIsOpen(t *testing.T) {
	const missed = "GAP web/app: lines may be missing: it was restarted 1 times before its log could be read"
	first := Run{ID: "1", ExitCode: 1, Reason: "Error", Started: start}
	second := Run{ID: "2", Started: start.Add(2 * time.Second), Reason: "Completed"}
	going := second
	going.Running = true
	ofFirst, ofSecond := at(1900, "a"), at(2100, "b")+at(2200, "c")
	for _, test := range []struct {
		name string
		// now are the states that follow each other, the last one finished; logs are what they are opened with.
		states  []Container
		opens   []string
		lines   []string
		notices []string
	}{
		{
			name:   "the next run goes on",
			states: []Container{running("1"), restarts(first, going, ""), restarts(first, second, "")},
			opens:  []string{ofSecond, ofSecond, ofSecond + at(3000, "d")},
			lines:  []string{"web/app: b", "web/app: c", "web/app: d"}, notices: []string{started, missed, resumed, completed},
		},
		{
			name:   "the next run has ended too",
			states: []Container{running("1"), restarts(first, second, "CrashLoopBackOff"), restarts(first, second, "")},
			opens:  []string{ofSecond, ofSecond + at(3000, "d"), ofSecond + at(3000, "d")},
			lines:  []string{"web/app: b", "web/app: c", "web/app: d"}, notices: []string{started, missed, completed, "WAITING web/app: CrashLoopBackOff"},
		},
		{
			name:    "the log was the right one, though its run ended in the second in which the next began",
			states:  []Container{running("1"), restarts(first, Run{ID: "2", Started: start.Add(time.Second), Reason: "Completed"}, "")},
			opens:   []string{ofFirst, ofSecond},
			lines:   []string{"web/app: a", "web/app: b", "web/app: c"},
			notices: []string{started, "ENDED web/app: exit code 1 (Error)", started, completed},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var state atomic.Int32
				source := newFakeSource(func(req LogRequest) (io.ReadCloser, error) {
					current := test.opens[state.Load()]
					switch {
					case req.Previous && test.states[state.Load()].Waiting == "":
						current = ofFirst
					case req.Follow:
						return hanging(current), nil
					}
					return logOf(current)(req)
				}, pods(pod("web", test.states[0])))
				st := startStream(t, source, podInput())
				go func() {
					for i := 1; i < len(test.states); i++ {
						pass(time.Minute)
						state.Store(int32(i))
						p := pod("web", test.states[i])
						p.Finished = i == len(test.states)-1
						source.snapshots <- pods(p)
					}
				}()
				wantEvents(t, st, test.lines, test.notices)
			})
		})
	}
}

// TestResumeAfterARestartBeforeTheLogWasOpen goes on behind lines that were read as those of the run before.
func TestResumeAfterARestartBeforeTheLogWasOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := newFakeSource(func(LogRequest) (io.ReadCloser, error) { return hanging(at(2100, "b")), nil },
			pods(pod("web", running("1"))))
		st := startStream(t, source, podInput())
		pass(time.Second)
		batch, err := next(t, st)
		if err != nil || len(batch.Lines) != 1 {
			t.Fatalf("got %v, %v", batch, err)
		}
		st.Close()
		second := Run{ID: "2", Started: start.Add(2 * time.Second), ExitCode: 1}
		source = newFakeSource(logOf(at(2100, "b")+at(2200, "c")),
			pods(finished(pod("web", restarts(Run{}, second, "CrashLoopBackOff")))))
		in := podInput()
		in.After = &batch.Cursor
		wantEvents(t, startStream(t, source, in), []string{"web/app: c"}, []string{
			"RESUMED stream: the stream goes on behind its cursor",
			"GAP web/app: lines may be missing: it was restarted 1 times before its log could be read",
			"ENDED web/app: exit code 1",
		})
	})
}
