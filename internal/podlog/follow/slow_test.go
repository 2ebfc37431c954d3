package follow

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/cursor"
	"pullwatch/internal/podlog/queue"
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
		source := newFakeSource(func(podlog.LogRequest) (io.ReadCloser, error) { return r, nil }, pods(pod("web", running("1"))))
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
		next, dropped, last := 0, 0, ""
		for next < lines {
			batch, err := st.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			last = batch.Cursor
			for _, n := range batch.Notices {
				if n.Kind == podlog.Dropped {
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
		if least := kept * (1000 + queue.LineOverhead); least > podlog.MaxWaiting {
			t.Errorf("%d lines were kept, which need %d bytes", kept, least)
		}
		if most := kept * (1000 + queue.LineOverhead + queue.ChunkOverhead); most < podlog.MaxWaiting-2*queue.MaxChunkBytes {
			t.Errorf("only %d lines were kept, which need %d bytes at most", kept, most)
		}
		if m := progressOf(t, last); m[cursor.NewContainerKey("uid-web", "app")].Position.IsZero() {
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

// TestOneContainerIsNotHeldBack checks that a line waits for nothing but its batch when no other container can have one.
func TestOneContainerIsNotHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		source := newFakeSource(func(podlog.LogRequest) (io.ReadCloser, error) { return r, nil },
			pods(pod("web", running("1"), podlog.Container{Name: "waits", Waiting: "PodInitializing"})))
		st := startStream(t, source, podInput())
		synctest.Wait()
		if _, err := st.Next(t.Context()); err != nil { // STARTED and WAITING
			t.Fatal(err)
		}
		go io.WriteString(w, stamped("a"))
		begin := time.Now()
		batch, err := st.Next(t.Context())
		if waited := time.Since(begin); err != nil || len(batch.Lines) != 1 || waited > podlog.BatchWindow {
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
		source := newFakeSource(func(podlog.LogRequest) (io.ReadCloser, error) {
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
				if notice.Kind == podlog.Dropped {
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
