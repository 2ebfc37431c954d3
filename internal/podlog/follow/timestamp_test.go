package follow

import (
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pullwatch/internal/podlog"
)

// A node that opens a log in the middle of a long line sends the end of that without a timestamp.
func TestTextWithoutATimestampIsNoLine(t *testing.T) {
	const gap = "GAP web/app: lines may be missing: its log could not be read to the end; the node says: "
	for name, test := range map[string]struct {
		log     string
		since   *time.Time
		lines   []string
		notices []string
	}{
		"none has one": {"a\nb", nil, nil, []string{gap + "b", completed}},
		"one has none": {at(1000, "a") + "b\n" + at(2000, "c"), nil, []string{"web/app: a", "web/app: c"},
			[]string{started, "GAP web/app: lines may be missing: the node says: b", completed}},
		"the last has none":        {at(1000, "a") + "b", nil, []string{"web/app: a"}, []string{started, gap + "b", completed}},
		"the end of an older line": {"end\n" + at(1000, "a"), ptr(start.Add(time.Second)), []string{"web/app: a"}, []string{started, completed}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source := newFakeSource(func(req podlog.LogRequest) (io.ReadCloser, error) {
					if req.Tail != nil {
						return text(test.log[strings.LastIndex(strings.TrimSuffix(test.log, "\n"), "\n")+1:]), nil
					}
					return text(test.log), nil
				}, pods(finished(pod("web", ended("1", 0, "Completed")))))
				for _, include := range []string{"", "."} {
					in := podInput()
					in.Since, in.Include = test.since, &include
					got, err := readAll(t, startStream(t, source, in))
					if err != nil || !slices.Equal(got.lines, test.lines) || !slices.Equal(got.notices, test.notices) {
						t.Errorf("include %q: got %q, %q, %v", include, got.lines, got.notices, err)
					}
					source.snapshots <- pods(finished(pod("web", ended("1", 0, "Completed"))))
				}
			})
		})
	}
}
