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

// DROPPED notices stand where the lines would have stood, and count all of them. The log is not held back.
func TestLiveLinesForASlowReaderAreDroppedAndCounted(t *testing.T) {
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
			elapse(time.Millisecond)
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
		delivered := lines - dropped
		if least := delivered * (1000 + queue.LineOverhead); least > podlog.MaxWaiting {
			t.Errorf("%d lines waited, which need %d bytes", delivered, least)
		}
		if most := delivered * (1000 + queue.LineOverhead + queue.ChunkOverhead); most < podlog.MaxWaiting-2*queue.MaxChunkBytes {
			t.Errorf("only %d lines waited, which need %d bytes at most", delivered, most)
		}
		if p := progressOf(t, last); p[cursor.NewContainerKey("uid-web", "app")].Position.IsZero() {
			t.Error("the cursor does not stand behind the last line")
		}
	})
}

func TestHistoryForASlowReaderIsNeverDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log []string
		for i := range 10_000 {
			log = append(log, at(i, fmt.Sprint(i, strings.Repeat("x", 1000))))
		}
		source := newFakeSource(logFrom(log), pods(finished(pod("web", ended("1", 0, "")))))
		st := startStream(t, source, podInput())
		elapse(time.Minute)
		got, err := readAll(t, st)
		if err != nil || len(got.lines) != len(log) {
			t.Errorf("got %d lines, %v", len(got.lines), err)
		}
	})
}

// A line waits only for its batch when no other container can have lines.
func TestASingleContainerDoesNotWaitForOthers(t *testing.T) {
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

// A container writes while its long log is read from the beginning. The reader is faster than the container: until it has
// caught up, no line is dropped.
func TestLinesAreNotDroppedWhileAReaderCatchesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		message := strings.Repeat("x", 1000)
		begun := time.Now()
		source := newFakeSource(func(podlog.LogRequest) (io.ReadCloser, error) {
			r, w := io.Pipe()
			go func() {
				for at := begun.Add(-100 * time.Second); ; at = at.Add(5 * time.Millisecond) {
					if wait := time.Until(at); wait > 0 {
						elapse(wait)
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
			elapse(time.Duration(len(batch.Lines)) * time.Millisecond)
		}
		if lines < 30_000 {
			t.Errorf("only %d lines came", lines)
		}
		st.Close()
		elapse(time.Second) // until the writer has noticed
	})
}
