package podlog

import (
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestLogThatIsCutOff reads a log that the API server ends in the middle as though that were its end.
func TestLogThatIsCutOff(t *testing.T) {
	whole := []string{at(0, "a"), at(1, "b"), at(2, "c")}
	for name, cut := range map[string]string{
		"between lines":    whole[0],
		"within a line":    whole[0] + whole[1][:20],
		"before the first": "",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first := true
				source := newFakeSource(func(req LogRequest) (io.ReadCloser, error) {
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

// TestNothingAskedForIsThere checks that a finished log whose lines all lie before what is asked for is not taken for one
// that was cut off.
func TestNothingAskedForIsThere(t *testing.T) {
	for name, change := range map[string]func(*Input){
		"since":   func(in *Input) { in.Since = ptr(start.Add(time.Hour)) },
		"no tail": func(in *Input) { in.TailLines = ptr(0) },
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

// TestLongLastLine reads a log whose last line its node has stored in parts: asked for the last line, it gives the last
// part.
func TestLongLastLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		long := strings.Repeat("x", 40<<10)
		source := newFakeSource(func(req LogRequest) (io.ReadCloser, error) {
			if req.Tail != nil {
				return text(at(3, long[:8<<10])), nil
			}
			return text(at(0, "a") + at(1, long)), nil
		}, pods(finished(pod("web", ended("1", 0, "Completed")))))
		wantEvents(t, startStream(t, source, podInput()), []string{"web/app: a", "web/app: " + long},
			[]string{started, completed})
	})
}
