package podlog

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// stamped is a log line of this moment.
func stamped(message string) string {
	return time.Now().UTC().Format("2006-01-02T15:04:05.000000000Z07:00") + " " + message + "\n"
}

// TestSlowReaderOfLiveLines checks that a reader who is too slow is told exactly how many lines were dropped, where they
// would have stood, and that the log was not held back for it.
func TestSlowReaderOfLiveLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		source := newFakeSource(func(LogRequest) (io.ReadCloser, error) { return r, nil }, pods(pod("web", running("1"))))
		st := startStream(t, source, podInput())
		const lines = 3000
		long := strings.Repeat("x", 1000)
		for i := range lines {
			if _, err := io.WriteString(w, stamped(fmt.Sprint(i, " ", long))); err != nil {
				t.Fatal(err)
			}
			pass(time.Millisecond)
		}
		synctest.Wait()
		next, dropped := 0, 0
		for next < lines {
			batch, err := st.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range batch.Notices {
				if n.Kind == Dropped {
					next += *n.Count
					dropped += *n.Count
				}
			}
			for _, line := range batch.Lines {
				if number, _, _ := strings.Cut(line.Message, " "); number != fmt.Sprint(next) {
					t.Fatalf("got line %s, want %d", number, next)
				}
				next++
			}
		}
		kept := lines - dropped
		if least := kept * (1000 + lineOverhead); least > MaxWaiting {
			t.Errorf("%d lines were kept, which need %d bytes", kept, least)
		}
		if most := kept * (1000 + lineOverhead + chunkOverhead); most < MaxWaiting-2*maxChunkBytes {
			t.Errorf("only %d lines were kept, which need %d bytes at most", kept, most)
		}
		again := podInput()
		again.After = ptr(st.queue.cursor(st.plan.digest, st.begun()))
		if m := marksOf(t, *again.After); m[newSourceKey("uid-web", "app")].position.isZero() {
			t.Error("the cursor does not stand behind the last line")
		}
	})
}

// TestSlowReaderOfHistory checks that what had been written before it was asked for is never dropped.
func TestSlowReaderOfHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log []string
		for i := range 10_000 {
			log = append(log, at(i, fmt.Sprint(i, strings.Repeat("x", 1000))))
		}
		source := newFakeSource(logFrom(log), pods(finished(pod("web", ended("1", 0, "")))))
		st := startStream(t, source, podInput())
		pass(time.Minute)
		got, err := readAll(t, st)
		if err != nil || len(got.lines) != len(log) {
			t.Errorf("got %d lines, %v", len(got.lines), err)
		}
	})
}

// arrival is a line that comes after a while, written some milliseconds after another moment.
type arrival struct {
	after     time.Duration
	container string
	ms        int
}

// TestReorderWindow checks in what order, and when, lines of several containers go out.
func TestReorderWindow(t *testing.T) {
	for _, test := range []struct {
		name     string
		arrivals []arrival
		want     []string
	}{
		{
			"an earlier line comes within the window",
			[]arrival{{0, "a", 5}, {100 * time.Millisecond, "b", 3}},
			[]string{"b3 at 100ms", "a5 at 250ms"},
		},
		{
			"an earlier line comes after the window",
			[]arrival{{0, "a", 5}, {300 * time.Millisecond, "b", 3}},
			[]string{"a5 at 250ms", "b3 at 500ms"},
		},
		{
			"all have a line",
			[]arrival{{0, "a", 5}, {0, "b", 7}, {0, "c", 6}},
			[]string{"a5 at 0s", "c6 at 250ms", "b7 at 250ms"},
		},
		{
			"the order within a container stays",
			[]arrival{{0, "a", 5}, {0, "a", 3}, {0, "b", 4}, {0, "c", 9}},
			[]string{"b4 at 0s", "a5 at 250ms", "a3 at 250ms", "c9 at 250ms"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue(newTestStreamer(nil).Metrics, nil)
				lanes := map[string]*lane{}
				for _, a := range test.arrivals {
					if lanes[a.container] == nil {
						lanes[a.container] = &lane{container: a.container, room: make(chan struct{}, 1)}
						q.add(lanes[a.container])
						q.activate(lanes[a.container], true)
					}
				}
				begin := time.Now()
				go func() {
					for _, a := range test.arrivals {
						pass(a.after)
						nanos := begin.UnixNano() + int64(a.ms)*int64(time.Millisecond)
						q.tryPush(lanes[a.container], &chunk{
							arrived: time.Now(), live: true, size: lineOverhead, positions: []position{{nanos: nanos}},
							lines: []Line{{Container: a.container, Message: fmt.Sprint(a.container, a.ms)}},
						})
					}
				}()
				var got []string
				for {
					var b batchBuilder
					again := q.take(&b)
					for _, line := range b.lines {
						got = append(got, fmt.Sprint(line.Message, " at ", time.Since(begin)))
					}
					if len(got) == len(test.want) {
						break
					}
					if err := q.await(t.Context(), again); err != nil {
						t.Fatal(err)
					}
				}
				if !slices.Equal(got, test.want) {
					t.Errorf("got %q, want %q", got, test.want)
				}
			})
		})
	}
}

// TestOneContainerIsNotHeldBack checks that a line waits for nothing but its batch when no other container can have one.
func TestOneContainerIsNotHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		source := newFakeSource(func(LogRequest) (io.ReadCloser, error) { return r, nil },
			pods(pod("web", running("1"), Container{Name: "waits", Waiting: "PodInitializing"})))
		st := startStream(t, source, podInput())
		synctest.Wait()
		if _, err := st.Next(t.Context()); err != nil { // STARTED and WAITING
			t.Fatal(err)
		}
		go io.WriteString(w, stamped("a"))
		begin := time.Now()
		batch, err := st.Next(t.Context())
		if waited := time.Since(begin); err != nil || len(batch.Lines) != 1 || waited > BatchWindow {
			t.Errorf("got %v, %v after %v", batch, err, waited)
		}
	})
}

// What is written while a long log is read from its beginning comes as fast as the rest of it, and is not dropped before
// the reader, who is faster than the container, has caught up.
func TestLinesAreNotDroppedWhileAReaderCatchesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		message := strings.Repeat("x", 1000)
		begun := time.Now()
		source := newFakeSource(func(LogRequest) (io.ReadCloser, error) {
			r, w := io.Pipe()
			go func() {
				for at := begun.Add(-100 * time.Second); ; at = at.Add(5 * time.Millisecond) {
					if wait := time.Until(at); wait > 0 {
						pass(wait)
					}
					if _, err := fmt.Fprintln(w, at.UTC().Format(time.RFC3339Nano), message); err != nil {
						return
					}
				}
			}()
			return r, nil
		}, pods(pod("web", running("1"))))
		st := startStream(t, source, podInput())
		lines := 0
		for time.Since(begun) < time.Minute {
			batch, err := st.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, notice := range batch.Notices {
				if notice.Kind == Dropped {
					t.Fatalf("%d lines were dropped after %d", *notice.Count, lines)
				}
			}
			lines += len(batch.Lines)
			pass(time.Duration(len(batch.Lines)) * time.Millisecond)
		}
		if lines < 30_000 {
			t.Errorf("only %d lines came", lines)
		}
		st.Close()
		pass(time.Second) // until the writer has noticed
	})
}
