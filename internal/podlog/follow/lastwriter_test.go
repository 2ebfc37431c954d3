package follow

import (
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pullwatch/internal/podlog"
)

// The first of three runs ends unread. The log that is given for it is that of the second run.
func TestTheLogOfALaterRunIsRecognized(t *testing.T) {
	const missed = "GAP web/app: lines may be missing: it was restarted 1 times before its log could be read"
	first := podlog.Run{ID: "1", ExitCode: 1, Reason: "Error", Started: start}
	second := podlog.Run{ID: "2", Restarts: 1, Started: start.Add(2 * time.Second), ExitCode: 1, Reason: "Error"}
	third := podlog.Run{ID: "3", Restarts: 2, Started: start.Add(20 * time.Second), Reason: "Completed"}
	going := second
	going.Running = true
	for _, test := range []struct {
		name string
		// statuses are the container's, one after each pause. In the last one the pod has finished.
		statuses []podlog.Container
		pause    time.Duration
		// followed is the response to the first request. current and previous are the logs with each status.
		followed          reply
		current, previous []string
		lines, notices    []string
	}{
		{
			name:     "its last line was rotated away",
			statuses: []podlog.Container{running("1"), restarts(first, going, ""), restarts(first, second, "")},
			pause:    time.Minute,
			followed: ok(hanging, at(2100, "a")),
			current:  []string{"", at(2300, "c"), at(2300, "c")}, previous: []string{"", at(1900, "x"), at(1900, "x")},
			lines: []string{"web/app: a", "web/app: c"},
			notices: []string{
				started, missed, "GAP web/app: lines may be missing: the last line was rotated away, and perhaps others behind it",
				"ENDED web/app: exit code 1 (Error)",
			},
		},
		{
			name: "it is replaced by the third before that is known",
			statuses: []podlog.Container{
				running("1"), restarts(first, second, ""),
				{Name: "app", Run: third, Previous: second},
			},
			pause:    time.Second,
			followed: ok(broken, at(2100, "a")),
			current:  []string{at(2100, "a"), "", at(20_100, "z")},
			previous: []string{"", at(2100, "a") + at(2200, "b"), at(2100, "a") + at(2200, "b")},
			lines:    []string{"web/app: a", "web/app: b", "web/app: z"},
			notices:  []string{started, missed, "ENDED web/app: exit code 1 (Error)", started, completed},
		},
		{
			name: "its line is younger than its start, and stands in what is given for the first",
			statuses: []podlog.Container{
				running("1"), restarts(first, going, ""),
				{Name: "app", Run: third, Previous: second},
			},
			pause:    time.Second,
			followed: ok(broken, at(5000, "a")),
			current:  []string{at(5000, "a"), "", at(20_100, "z")},
			previous: []string{"", at(5000, "a") + at(5100, "b"), at(5000, "a") + at(5100, "b")},
			lines:    []string{"web/app: a", "web/app: b", "web/app: z"},
			notices:  []string{started, missed, resumed, "ENDED web/app: exit code 1 (Error)", started, completed},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var index atomic.Int32
				source := newFakeSource(func(req podlog.LogRequest) (io.ReadCloser, error) {
					switch i := index.Load(); {
					case i == 0:
						return test.followed()
					case req.Previous:
						return logOf(test.previous[i])(req)
					case req.Follow:
						return hanging(test.current[i]), nil
					default:
						return logOf(test.current[i])(req)
					}
				}, pods(pod("web", test.statuses[0])))
				st := startStream(t, source, podInput())
				go func() {
					for i := 1; i < len(test.statuses); i++ {
						if i > 1 {
							elapse(test.pause)
						} else {
							synctest.Wait()
						}
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
