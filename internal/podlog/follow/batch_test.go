package follow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/queue"
)

func TestBatchesAreBounded(t *testing.T) {
	for _, test := range []struct {
		name    string
		message string
		lines   int
	}{
		{"many short lines", "", 10_000},
		{"lines", strings.Repeat("x", 200), 10_000},
		{"long lines", strings.Repeat("x", 3*podlog.DefaultLineBytes), 20},
		{"long invalid lines", strings.Repeat("\xff", 3*podlog.DefaultLineBytes), 20},
	} {
		t.Run(test.name, func(t *testing.T) {
			var log strings.Builder
			for i := range test.lines {
				log.WriteString(at(i, test.message))
			}
			source := newFakeSource(replies(map[string][]reply{"web/app": {ok(text, log.String())}}),
				pods(finished(pod("web", ended("1", 0, "")))))
			st := startStream(t, source, podInput())
			lines := 0
			for {
				batch, err := st.Next(t.Context())
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				bytes := 0
				for i, line := range batch.Lines {
					bytes += len(line.Message)
					if want := start.Add(time.Duration(lines+i) * time.Millisecond); !line.Timestamp.Equal(want) {
						t.Fatalf("line %d is out of order", lines+i)
					}
					if cut := max(0, len(test.message)-podlog.DefaultLineBytes); len(line.Message) > podlog.DefaultLineBytes || line.TruncatedBytes < cut {
						t.Fatalf("line %d has %d bytes, %d cut", lines+i, len(line.Message), line.TruncatedBytes)
					}
				}
				if n := len(batch.Lines) + len(batch.Notices); n > podlog.MaxBatchLines || bytes > podlog.MaxBatchBytes {
					t.Fatalf("batch of %d lines and %d bytes", n, bytes)
				}
				lines += len(batch.Lines)
			}
			if lines != test.lines {
				t.Errorf("got %d lines, want %d", lines, test.lines)
			}
		})
	}
}

// liveLine is a line that is written now.
func liveLine(message string) string {
	return time.Now().UTC().Format(time.RFC3339Nano) + " " + message + "\n"
}

func TestALiveLineOfASingleContainerComesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		source := newFakeSource(func(podlog.LogRequest) (io.ReadCloser, error) { return r, nil }, pods(pod("web", running("1"))))
		st := startStream(t, source, podInput())
		if batch, err := st.Next(t.Context()); err != nil || len(batch.Notices) != 1 {
			t.Fatalf("got %v, %v, want a notice", batch, err)
		}
		write := func(message string) {
			io.WriteString(w, liveLine(message))
			synctest.Wait()
		}
		read := func(lines int) {
			t.Helper()
			begin := time.Now()
			batch, err := st.Next(t.Context())
			if err != nil || len(batch.Lines) != lines || time.Since(begin) > 0 {
				t.Errorf("got %v, %v after %v; want %d lines at once", batch, err, time.Since(begin), lines)
			}
		}
		elapse(time.Second)
		go io.WriteString(w, liveLine("a"))
		read(1)
		// The reader writes the line to its client. Meanwhile others come.
		for range 3 {
			write("b")
			elapse(podlog.BatchGap / 2)
		}
		read(3)
		write("c")
		begin := time.Now()
		if batch, err := st.Next(t.Context()); err != nil || len(batch.Lines) != 1 || time.Since(begin) != podlog.BatchGap {
			t.Errorf("right behind a batch came %v, %v after %v", batch, err, time.Since(begin))
		}
	})
}

func TestLinesOfSeveralContainersAndOldOnesWaitForOthersOnlyForTheBatchWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		source := newFakeSource(func(podlog.LogRequest) (io.ReadCloser, error) { return r, nil }, pods(pod("web", running("1"))))
		st := startStream(t, source, podInput())
		if batch, err := st.Next(t.Context()); err != nil || len(batch.Notices) != 1 {
			t.Fatalf("got %v, %v, want a notice", batch, err)
		}
		go func() {
			for i := range 3 {
				io.WriteString(w, at(i, "x"))
				elapse(podlog.BatchWindow * 2 / 3)
			}
		}()
		begin := time.Now()
		for _, want := range []struct {
			lines int
			after time.Duration
		}{{2, podlog.BatchWindow}, {1, podlog.BatchWindow*4/3 + podlog.BatchWindow}} {
			batch, err := st.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if after := time.Since(begin).Round(time.Millisecond); len(batch.Lines) != want.lines || after != want.after.Round(time.Millisecond) {
				t.Errorf("got %d lines after %v, want %+v", len(batch.Lines), after, want)
			}
		}
	})
}

// endlessLog has lines without end, and counts the bytes that were read.
type endlessLog struct {
	line  string
	rest  string
	taken *atomic.Int64
}

func (l *endlessLog) Read(p []byte) (n int, _ error) {
	for n < len(p) {
		if l.rest == "" {
			l.rest = l.line
		}
		taken := copy(p[n:], l.rest)
		l.rest = l.rest[taken:]
		n += taken
	}
	l.taken.Add(int64(n))
	return n, nil
}

func (l *endlessLog) Close() error { return nil }

// A stream reads no more from its source than its queue holds.
func TestASlowReaderHoldsBackTheSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var taken atomic.Int64
		source := newFakeSource(func(podlog.LogRequest) (io.ReadCloser, error) {
			return &endlessLog{line: at(0, strings.Repeat("x", 10_000)), taken: &taken}, nil
		}, pods(pod("web", running("1"))))
		startStream(t, source, podInput())
		synctest.Wait()
		if n := taken.Load(); n > podlog.MaxWaiting+2*queue.MaxChunkBytes {
			t.Errorf("took %d bytes although nobody reads", n)
		}
	})
}

// Streams end at random moments. The synctest bubble fails when a goroutine still runs.
func TestAClosedStreamLeavesNothingRunning(t *testing.T) {
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			var taken atomic.Int64
			source := newFakeSource(func(req podlog.LogRequest) (io.ReadCloser, error) {
				switch req.Container {
				case "fast":
					return &endlessLog{line: at(0, "x"), taken: &taken}, nil
				case "silent":
					return hanging(""), nil
				default:
					return nil, errors.New("refused")
				}
			}, pods(pod("web", podlog.Container{Name: "fast", Run: podlog.Run{ID: "1", Running: true}},
				podlog.Container{Name: "silent", Run: podlog.Run{ID: "2", Running: true}},
				podlog.Container{Name: "refused", Run: podlog.Run{ID: "3", Running: true}}, podlog.Container{Name: "waiting"})))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			st, err := newTestStreamer(source).Stream(ctx, podInput())
			if err != nil {
				t.Fatal(err)
			}
			for range random.IntN(20) {
				if _, err := st.Next(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if random.IntN(2) == 0 {
				cancel()
			}
			go st.Close()
			for err == nil {
				_, err = st.Next(t.Context())
			}
			if !errors.Is(err, context.Canceled) {
				t.Errorf("seed %d: ended with %v", seed, err)
			}
			st.Close()
		})
	}
}

// BenchmarkStream measures lines of 200 bytes from a source in memory.
func BenchmarkStream(b *testing.B) {
	for _, containers := range []int{1, 2, 30} {
		b.Run(fmt.Sprint("containers=", containers), func(b *testing.B) { benchmarkStream(b, containers, nil) })
	}
	for name, exclude := range map[string]string{"literal": "timeout", "small": `^(error|warn)\b.*timeout`} {
		b.Run("exclude="+name, func(b *testing.B) { benchmarkStream(b, 1, &exclude) })
	}
}

func benchmarkStream(b *testing.B, containers int, exclude *string) {
	const lines = 100_000
	logs := make(map[string]*strings.Builder)
	p := pod("web")
	for i := range containers {
		name := fmt.Sprint("c", i)
		logs[name] = &strings.Builder{}
		p.Containers = append(p.Containers, podlog.Container{Name: name, Run: podlog.Run{ID: name}})
	}
	size := 0
	for i := range lines {
		n, _ := logs[fmt.Sprint("c", i%containers)].WriteString(at(i, strings.Repeat("x", 200)))
		size += n
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	in := podInput()
	in.Exclude = exclude
	total := 0
	for b.Loop() {
		source := newFakeSource(func(req podlog.LogRequest) (io.ReadCloser, error) {
			log := logs[req.Container].String()
			if req.Tail != nil {
				log = log[strings.LastIndexByte(log[:len(log)-1], '\n')+1:]
			}
			return text(log), nil
		}, pods(finished(p)))
		st, err := newTestStreamer(source).Stream(b.Context(), in)
		if err != nil {
			b.Fatal(err)
		}
		for {
			batch, err := st.Next(b.Context())
			if err != nil {
				break
			}
			total += len(batch.Lines)
		}
		st.Close()
	}
	if total != lines*b.N {
		b.Fatalf("got %d lines, want %d", total, lines*b.N)
	}
	b.ReportMetric(float64(total)/b.Elapsed().Seconds(), "lines/s")
}

func TestALineIsNotLateWhenACursorIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, write := io.Pipe()
		source := newFakeSource(func(podlog.LogRequest) (io.ReadCloser, error) { return log, nil }, pods(pod("web", running("1"))))
		in := podInput()
		in.Include = ptr("keep")
		st := startStream(t, source, in)
		if batch, err := st.Next(t.Context()); err != nil || len(batch.Notices) != 1 {
			t.Fatalf("got %+v, %v", batch, err)
		}
		for _, line := range []string{"skip", "keep"} {
			if _, err := io.WriteString(write, at(0, line)); err != nil {
				t.Fatal(err)
			}
			elapse(podlog.CursorInterval + time.Second) // the reader is slow
		}
		if batch, err := st.Next(t.Context()); err != nil || len(batch.Lines) != 1 {
			t.Errorf("got %+v, %v", batch, err)
		}
	})
}
