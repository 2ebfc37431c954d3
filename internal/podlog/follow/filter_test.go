package follow

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pullwatch/internal/podlog"
	"pullwatch/internal/turns"
)

func TestFiltersLookAtAllOfALongLine(t *testing.T) {
	long := func(n int, end string) string { return "begin " + strings.Repeat("x", n) + " " + end }
	const tooLong = "GAP web/app: lines may be missing: include and exclude looked only at the first 4194304 of the 4195323 bytes of a " +
		"line, and perhaps of others"
	for _, test := range []struct {
		name             string
		include, exclude string
		memory           int64
		log              string
		lines, notices   []string
	}{
		{"included", "wanted$", "", 1 << 30, at(0, long(200_000, "wanted")) + at(1, long(200_000, "other")) + at(2, long(2_000_000, "wanted")),
			[]string{"wanted 0", "wanted 2"}, []string{started, completed}},
		{"excluded", "", "other$", 1 << 30, at(0, long(200_000, "wanted")) + at(1, long(200_000, "other")),
			[]string{"wanted 0"}, []string{started, completed}},
		{"too long", "wanted$", "", 1 << 30, at(0, long(1<<22, strings.Repeat("y", 1005)+" wanted")) + at(1, "wanted"),
			[]string{"wanted 1"}, []string{started, tooLong, completed}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source := newFakeSource(func(req podlog.LogRequest) (io.ReadCloser, error) {
					if req.Tail != nil {
						return text(test.log[strings.LastIndex(strings.TrimSuffix(test.log, "\n"), "\n")+1:]), nil
					}
					return text(test.log), nil
				}, pods(finished(pod("web", ended("1", 0, "Completed")))))
				streamer := newTestStreamer(source)
				memory := newTestBudget(test.memory)
				streamer.Budget = memory.Budget
				in := podInput()
				in.Include, in.Exclude = &test.include, &test.exclude
				st, err := streamer.Stream(t.Context(), in)
				if err != nil {
					t.Fatal(err)
				}
				var got events
				var lines []string
				for {
					batch, err := st.Next(t.Context())
					if err != nil {
						break
					}
					got.add(batch)
					for _, l := range batch.Lines {
						lines = append(lines, fmt.Sprint("wanted ", l.Timestamp.Sub(start).Milliseconds()))
						if len(l.Message)+l.TruncatedBytes < len("wanted") {
							t.Errorf("a line of %d bytes", len(l.Message))
						}
					}
				}
				st.Close()
				if !slices.Equal(lines, test.lines) || !slices.Equal(got.notices, test.notices) {
					t.Errorf("got %q, %q", lines, got.notices)
				}
				if used := memory.used(t); used != 0 {
					t.Errorf("%v bytes are used afterwards", used)
				}
			})
		})
	}
}

func TestSimpleExpressionsDoNotWaitForLargeOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		streamer := newTestStreamer(newFakeSource(func(podlog.LogRequest) (io.ReadCloser, error) { return r, nil },
			pods(pod("web", running("1")))))
		streamer.Turns = turns.New(1)
		in := podInput()
		in.Include = ptr(`\b5\d\d\b`)
		st, err := streamer.Stream(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		if _, err := streamer.Turns.Take(t.Context(), "other"); err != nil { // for ever
			t.Fatal(err)
		}
		go io.WriteString(w, at(0, "GET /a 200")+at(1, "GET /b 500"))
		for {
			batch, err := st.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(batch.Lines) > 0 {
				break
			}
		}
	})
}

func TestAWaitingStreamLeavesItsTurnToOthers(t *testing.T) {
	for _, test := range []struct {
		name, message string
		lines         int
	}{
		{"for lines", strings.Repeat("x", 1000), 100},
		{"for its reader", strings.Repeat("x", 1000), 3000},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log strings.Builder
				for i := range test.lines {
					log.WriteString(at(i, test.message))
				}
				streamer := newTestStreamer(newFakeSource(func(podlog.LogRequest) (io.ReadCloser, error) {
					return hanging(log.String()), nil
				}, pods(pod("web", running("1")))))
				streamer.Turns = turns.New(1)
				in := podInput()
				in.Include = ptr(`x(?:y?){20}x`)
				st, err := streamer.Stream(t.Context(), in)
				if err != nil {
					t.Fatal(err)
				}
				defer st.Close()
				elapse(time.Minute)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				end, err := streamer.Turns.Take(ctx, "other")
				if err != nil {
					t.Fatal("the turn is kept")
				}
				end()
			})
		})
	}
}
