package follow

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/cursor"
	"pullwatch/internal/podlog/logline"
	"pullwatch/internal/usererr"
)

// logFrom answers requests from the whole log of a run, as a kubelet does.
func logFrom(lines []string) func(podlog.LogRequest) (io.ReadCloser, error) {
	return func(req podlog.LogRequest) (io.ReadCloser, error) {
		from := lines
		if req.Tail != nil {
			from = from[max(0, len(from)-*req.Tail):]
		}
		var log strings.Builder
		for _, line := range from {
			if nanos, _ := new(logline.Parser).Cut([]byte(line)); nanos == 0 || !logline.Time(nanos).Before(req.Since) {
				log.WriteString(line)
			}
		}
		return text(log.String()), nil
	}
}

// logOf is logFrom for the text of a log.
func logOf(log string) func(podlog.LogRequest) (io.ReadCloser, error) {
	return logFrom(slices.Collect(strings.Lines(log)))
}

// For each batch of a stream, another stream resumes behind it.
func TestResumingBehindAnyBatchLosesAndRepeatsNothing(t *testing.T) {
	var log []string
	for i := range 5000 {
		log = append(log, at(i/7, fmt.Sprint("line ", i)))
	}
	// The filters do not look at all of the line in the middle.
	around := []string{at(0, "wanted"), at(1, strings.Repeat("x", podlog.MaxFiltered+1)), at(2, "wanted, too")}
	for _, test := range []struct {
		name      string
		in        func(*podlog.Input)
		log, want []string
	}{
		{"all", func(*podlog.Input) {}, log, log},
		{"tail", func(in *podlog.Input) { in.TailLines = ptr(3000) }, log, log[2000:]},
		{"since", func(in *podlog.Input) { in.Since = ptr(start.Add(200_000_000)) }, log, log[1400:]},
		{"around a giant line", func(in *podlog.Input) { in.Include = ptr("wanted") }, around, []string{around[0], around[2]}},
		{"with a giant line", func(in *podlog.Input) { in.Include = ptr("x|wanted") }, around, around},
		{"with a giant line at the end", func(in *podlog.Input) { in.Include = ptr("x|wanted") }, around[:2], around[:2]},
		{"with a giant line that has no end", func(in *podlog.Input) { in.Include = ptr("x|wanted") },
			[]string{around[0], strings.TrimSuffix(around[1], "\n")}, around[:2]},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source := func() *fakeSource {
					return newFakeSource(logFrom(test.log), pods(finished(pod("web", ended("1", 0, "")))))
				}
				in := podInput()
				test.in(&in)
				var want []string
				for _, line := range test.want {
					_, message := new(logline.Parser).Cut([]byte(line))
					message = bytes.TrimSpace(message)
					want = append(want, "web/app: "+string(message[:min(len(message), 64<<10)]))
				}
				st := startStream(t, source(), in)
				var got events
				for {
					batch, err := st.Next(t.Context())
					if err == io.EOF {
						break
					}
					if err != nil {
						t.Fatal(err)
					}
					got.add(batch)
					again := in
					again.After = &batch.Cursor
					rest, err := readAll(t, startStream(t, source(), again))
					if err != nil || !slices.Equal(slices.Concat(got.lines, rest.lines), want) {
						t.Fatalf("%d lines and then %d, %v; want %d", len(got.lines), len(rest.lines), err, len(want))
					}
				}
				if !slices.Equal(got.lines, want) {
					t.Errorf("got %d lines, want %d", len(got.lines), len(want))
				}
			})
		})
	}
}

func TestAResumedStreamReportsWhatItMissed(t *testing.T) {
	done := finished(pod("web", ended("1", 0, "Completed")))
	fresh := "RESUMED stream: the stream goes on behind its cursor"
	second := podlog.Run{ID: "2", Restarts: 1}
	third := podlog.Run{ID: "3", Restarts: 2}
	one := func(lines ...string) map[string][]reply {
		return map[string][]reply{"web/app": {ok(text, strings.Join(lines, ""))}}
	}
	for _, test := range []struct {
		name string
		in   podlog.Input
		// before and after are the pods when the streams begin. Each log is read to its end.
		before, after   []podlog.Pod
		logs, logsAfter map[string][]reply
		lines, notices  []string
		code            usererr.Code
		cursorOf        int
	}{
		{
			name: "all was read", in: podInput(), before: []podlog.Pod{done}, after: []podlog.Pod{done},
			logs: one(at(0, "a")), logsAfter: one(), cursorOf: 1,
			notices: []string{fresh},
		},
		{
			name: "the next run", in: podInput(),
			before: []podlog.Pod{pod("web", running("1"))},
			after:  []podlog.Pod{finished(pod("web", podlog.Container{Name: "app", Run: second, Previous: podlog.Run{ID: "1", ExitCode: 1}}))},
			logs:   one(at(0, "a")), logsAfter: map[string][]reply{"web/app": {
				ok(text, at(0, "a")+at(1, "b")), ok(text, at(2000, "c")),
			}},
			lines:   []string{"web/app: b", "web/app: c"},
			notices: []string{fresh, "ENDED web/app: exit code 1", started, "ENDED web/app: exit code 0"}, cursorOf: 1,
		},
		{
			name: "the run after the next", in: podInput(),
			before: []podlog.Pod{pod("web", running("1"))},
			after:  []podlog.Pod{finished(pod("web", podlog.Container{Name: "app", Run: third, Previous: second}))},
			logs:   one(at(0, "a")), logsAfter: one(at(3000, "c")),
			lines: []string{"web/app: c", "web/app: c"},
			notices: []string{fresh, "GAP web/app: lines may be missing: the rest of its log is gone", started,
				"ENDED web/app: exit code 0", started, "ENDED web/app: exit code 0"}, cursorOf: 1,
		},
		{
			name: "rotated", in: podInput(), before: []podlog.Pod{pod("web", running("1"))}, after: []podlog.Pod{done},
			logs: one(at(0, "a")), logsAfter: one(at(500, "c")),
			lines: []string{"web/app: c"},
			notices: []string{fresh, "GAP web/app: lines may be missing: the last line was rotated away, and perhaps others behind it",
				completed}, cursorOf: 1,
		},
		{
			name: "another line at the place of the last", in: podInput(), before: []podlog.Pod{pod("web", running("1"))}, after: []podlog.Pod{done},
			logs: one(at(0, "a")), logsAfter: one(at(0, "b") + at(500, "c")),
			lines: []string{"web/app: c"},
			notices: []string{fresh, "GAP web/app: lines may be missing: the last line was rotated away, and perhaps others behind it",
				completed}, cursorOf: 1,
		},
		{
			name: "another pod of that name", in: podInput(), before: []podlog.Pod{pod("web", running("1"))},
			after: []podlog.Pod{{Name: "web", UID: "other", Containers: []podlog.Container{running("2")}}},
			logs:  one(at(0, "a")), code: usererr.NotFound, cursorOf: 1,
		},
		{
			name: "a pod went and another came", in: podlog.Input{Namespace: "default", Job: ptr("copy"), Follow: true, TailLines: ptr(1)},
			before: []podlog.Pod{pod("web", running("1"))}, after: []podlog.Pod{finished(pod("web-2", ended("2", 0, "")))},
			logs: one(at(0, "a")), logsAfter: map[string][]reply{"web-2/app": {ok(text, at(2000, "b")+at(2001, "c"))}},
			lines: []string{"web-2/app: b", "web-2/app: c"},
			notices: []string{fresh, "GAP stream: lines may be missing: 1 containers are gone with their pods, and the rest of " +
				"their logs cannot be read", "STARTED web-2/app: log opened", "ENDED web-2/app: exit code 0"}, cursorOf: 1,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source := newFakeSource(replies(test.logs), podlog.Snapshot{Pods: test.before})
				st := startStream(t, source, test.in)
				var last *podlog.Batch
				for {
					batch, err := next(t, st)
					if err != nil {
						break
					}
					last = batch
				}
				st.Close()
				if n := len(progressOf(t, last.Cursor)); n != test.cursorOf {
					t.Errorf("cursor speaks of %d containers, want %d", n, test.cursorOf)
				}
				again := test.in
				again.After = &last.Cursor
				source = newFakeSource(replies(test.logsAfter), podlog.Snapshot{Pods: test.after, Final: true})
				st, err := newTestStreamer(source).Stream(t.Context(), again)
				if test.code != "" {
					if usererr.CodeOf(err) != test.code {
						t.Errorf("got %v", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				defer st.Close()
				wantEvents(t, st, test.lines, test.notices)
			})
		})
	}
}

// next returns the next batch, or an error when there is none within a moment.
func next(t *testing.T, st *Stream) (*podlog.Batch, error) {
	return nextWithin(t, st, 100*time.Millisecond)
}

func nextWithin(t *testing.T, st *Stream, d time.Duration) (*podlog.Batch, error) {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	return st.Next(ctx)
}

// A stream of two containers is resumed when only one of them has had a line. The other begins with the last lines that it
// had when the first stream began.
func TestResumingBeforeTheFirstLineKeepsTheTail(t *testing.T) {
	for tail, want := range map[int][]string{0: nil, 2: {"b", "c"}, 9: {"a", "b", "c"}} {
		var later []string // more than are asked for
		for i := range 50 {
			later = append(later, fmt.Sprint("later ", i))
		}
		want = append(want, later...)
		synctest.Test(t, func(t *testing.T) {
			fast, slow := running("1"), running("2")
			slow.Name = "slow"
			source := newFakeSource(replies(map[string][]reply{
				"web/app": {ok(hanging, at(0, "x"))}, "web/slow": {ok(hanging, "")},
			}), pods(pod("web", fast, slow)))
			in := podInput()
			in.TailLines = &tail
			st := startStream(t, source, in)
			elapse(time.Second)
			batch, err := st.Next(t.Context())
			if err != nil || len(batch.Lines) != 1 && tail > 0 {
				t.Fatalf("got %v, %v", batch, err)
			}
			st.Close()

			log := at(0, "a") + at(0, "b") + at(0, "c")
			for _, message := range later {
				log += stamped(message)
			}
			source = newFakeSource(func(req podlog.LogRequest) (io.ReadCloser, error) {
				if req.Container == "slow" {
					return logOf(log)(req)
				}
				return text(""), nil
			}, pods(pod("web", fast, slow)))
			in.After = &batch.Cursor
			in.Follow = false
			st = startStream(t, source, in)
			var got []string
			for len(got) < len(want) {
				batch, err := st.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, line := range batch.Lines {
					if line.Container == "slow" {
						got = append(got, line.Message)
					}
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("tail of %d: got %q, want %q", tail, got, want)
			}
		})
	}
}

func TestFilteredLinesAreNotReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := podInput()
		in.Include = ptr("a")
		source := newFakeSource(replies(map[string][]reply{"web/app": {ok(hanging, at(0, "a")+at(5000, "b"))}}),
			pods(pod("web", running("1"))))
		batch, err := next(t, startStream(t, source, in))
		if err != nil {
			t.Fatal(err)
		}
		p := progressOf(t, batch.Cursor)[cursor.NewContainerKey("uid-web", "app")]
		if want := start.Add(5 * time.Second).UnixNano(); p.Position.Nanos != want {
			t.Errorf("the cursor stands at %v", logline.Time(p.Position.Nanos))
		}
	})
}

// A stream whose filters leave out all lines still delivers new cursors, but none without new lines.
func TestFilteredLinesBringNewCursors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := podInput()
		in.Include = ptr("a")
		r, w := io.Pipe()
		source := newFakeSource(func(podlog.LogRequest) (io.ReadCloser, error) { return r, nil }, pods(pod("web", running("1"))))
		st := startStream(t, source, in)
		if _, err := next(t, st); err != nil { // STARTED
			t.Fatal(err)
		}
		for i := range 3 {
			io.WriteString(w, at(1000*i, "b"))
			io.WriteString(w, at(1000*i+1, "c"))
			begun := time.Now()
			batch, err := st.Next(t.Context())
			if err != nil || len(batch.Lines)+len(batch.Notices) != 0 || time.Since(begun) != podlog.CursorInterval {
				t.Fatalf("got %v, %v after %v", batch, err, time.Since(begun))
			}
			p := progressOf(t, batch.Cursor)[cursor.NewContainerKey("uid-web", "app")]
			if want := start.Add(time.Duration(1000*i+1) * time.Millisecond).UnixNano(); p.Position.Nanos != want {
				t.Errorf("the cursor stands at %v", logline.Time(p.Position.Nanos))
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			if batch, err := st.Next(ctx); err == nil {
				t.Errorf("got %v without new lines", batch)
			}
		}
	})
}

// progressOf returns what a cursor of any target holds.
func progressOf(t *testing.T, text string) map[cursor.ContainerKey]cursor.Progress {
	t.Helper()
	c, err := cursor.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return c.Containers
}
