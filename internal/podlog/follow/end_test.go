package follow

import (
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pullwatch/internal/podlog"
)

// The API server ends a response in the middle as though that were the end of the log.
func TestALogThatIsCutOffIsReadToItsEnd(t *testing.T) {
	whole := []string{at(0, "a"), at(1, "b"), at(2, "c")}
	for name, cut := range map[string]string{
		"between lines":    whole[0],
		"within a line":    whole[0] + whole[1][:20],
		"before the first": "",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first := true
				source := newFakeSource(func(req podlog.LogRequest) (io.ReadCloser, error) {
					if first && req.Tail == nil {
						first = false
						return text(cut), nil
					}
					return logFrom(whole)(req)
				}, pods(finished(pod("web", ended("1", 0, "Completed")))))
				wantEvents(t, startStream(t, source, podInput()), []string{"web/app: a", "web/app: b", "web/app: c"},
					[]string{started, resumed, completed})
			})
		})
	}
}

// Responses end as though there were nothing more to read.
func TestNoLineIsLostWhereALogSeemsToEnd(t *testing.T) {
	const rotated = "GAP web/app: lines may be missing: the last line was rotated away, and perhaps others behind it"
	whole := at(0, "a") + at(1, "b")
	follow := pods(pod("web", running("1")))
	over := pods(finished(pod("web", ended("1", 0, "Completed"))))
	for _, test := range []struct {
		name      string
		snapshots []podlog.Snapshot
		// reads are the responses one after the other. tails are those to requests for the last line.
		reads, tails []reply
		lines        []string
		notices      []string
	}{
		{
			name:      "cut off in the first timestamp, twice",
			snapshots: []podlog.Snapshot{follow, over},
			reads:     []reply{ok(text, at(0, "a")), ok(text, whole[:10]), ok(text, whole)},
			tails:     []reply{ok(text, whole[:12]), ok(text, at(1, "b"))},
			lines:     []string{"web/app: a", "web/app: b"},
			notices:   []string{started, resumed, completed},
		},
		{
			name:      "broken, then cut off at the same line",
			snapshots: []podlog.Snapshot{over},
			reads:     []reply{ok(broken, at(0, "a")), ok(text, at(0, "a")), ok(text, whole)},
			tails:     []reply{ok(text, at(1, "b"))},
			lines:     []string{"web/app: a", "web/app: b"},
			notices:   []string{started, waiting, resumed, completed},
		},
		{
			name:      "rotated before a last line that has no end",
			snapshots: []podlog.Snapshot{follow, over},
			reads:     []reply{ok(text, at(0, "a")), ok(text, strings.TrimSuffix(at(2, "c"), "\n"))},
			tails:     []reply{ok(text, strings.TrimSuffix(at(2, "c"), "\n"))},
			lines:     []string{"web/app: a", "web/app: c"},
			notices:   []string{started, rotated, completed},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				reads := replies(map[string][]reply{"web/app": test.reads})
				tails := replies(map[string][]reply{"web/app": test.tails})
				source := newFakeSource(func(req podlog.LogRequest) (io.ReadCloser, error) {
					if req.Tail == nil {
						return reads(req)
					}
					req.Tail = nil
					return tails(req)
				}, test.snapshots[0])
				st := startStream(t, source, podInput())
				go source.deliverInTurn(test.snapshots[1:])
				wantEvents(t, st, test.lines, test.notices)
			})
		})
	}
}

// All lines are earlier than what the caller asks for.
func TestALogWithoutWantedLinesIsNotTakenForCutOff(t *testing.T) {
	for name, change := range map[string]func(*podlog.Input){
		"since":   func(in *podlog.Input) { in.Since = ptr(start.Add(time.Hour)) },
		"no tail": func(in *podlog.Input) { in.TailLines = ptr(0) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in := podInput()
				change(&in)
				source := newFakeSource(logFrom([]string{at(0, "a")}), pods(finished(pod("web", ended("1", 0, "Completed")))))
				wantEvents(t, startStream(t, source, in), nil, []string{started, completed})
			})
		})
	}
}

// The node has stored the last line in parts. A request for the last line returns the last part.
func TestALastLineThatIsStoredInPartsIsTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		long := strings.Repeat("x", 40<<10)
		source := newFakeSource(func(req podlog.LogRequest) (io.ReadCloser, error) {
			if req.Tail != nil {
				return text(at(3, long[:8<<10])), nil
			}
			return text(at(0, "a") + at(1, long)), nil
		}, pods(finished(pod("web", ended("1", 0, "Completed")))))
		wantEvents(t, startStream(t, source, podInput()), []string{"web/app: a", "web/app: " + long},
			[]string{started, completed})
	})
}
