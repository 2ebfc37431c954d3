package follow

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/queue"
)

// longInput is podInput for the longest lines.
func longInput() podlog.Input {
	in := podInput()
	in.MaxLineBytes = ptr(podlog.MaxLineBytes)
	return in
}

func TestLinesAreCutAfterMaxLineBytes(t *testing.T) {
	const most = podlog.MaxLineBytes
	for _, test := range []struct {
		name, message string
		limit         *int
		want          string
		cut           int
	}{
		{"by default", strings.Repeat("x", 70_000), nil, strings.Repeat("x", 65_536), 70_000 - 65_536},
		{"whole", strings.Repeat("x", 200_000), ptr(200_000), strings.Repeat("x", 200_000), 0},
		{"whole, the longest", strings.Repeat("x", most), ptr(most), strings.Repeat("x", most), 0},
		{"longer", strings.Repeat("x", 2*most+1), ptr(most), strings.Repeat("x", most), most + 1},
		{"short", "abcdef", ptr(4), "abcd", 2},
		{"before a character", "ab日本", ptr(7), "ab日", 3},
		{"less than a character", "日本", ptr(1), "", 6},
		{"invalid bytes", strings.Repeat("\xff", 200_000), ptr(150_000), strings.Repeat("\uFFFD", 50_000), 150_000},
		{"a character at the end", strings.Repeat("x", most-1) + "é", ptr(most), strings.Repeat("x", most-1), 2},
	} {
		for _, include := range []*string{nil, ptr(".")} {
			t.Run(fmt.Sprint(test.name, ", with a filter: ", include != nil), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					log := at(0, test.message+"\r") + at(1, "next") + strings.TrimSuffix(at(2, test.message), "\n")
					source := newFakeSource(func(req podlog.LogRequest) (io.ReadCloser, error) {
						if req.Tail != nil {
							return text(log[strings.LastIndex(log, "\n")+1:]), nil
						}
						return text(log), nil
					}, pods(finished(pod("web", ended("1", 0, "")))))
					in := podInput()
					in.MaxLineBytes, in.Include = test.limit, include
					var lines []podlog.Line
					for st := startStream(t, source, in); ; {
						batch, err := st.Next(t.Context())
						if errors.Is(err, io.EOF) {
							break
						}
						if err != nil {
							t.Fatal(err)
						}
						lines = append(lines, batch.Lines...)
					}
					if len(lines) != 3 {
						t.Fatalf("got %d lines", len(lines))
					}
					for _, i := range []int{0, 2} {
						if lines[i].Message != test.want || lines[i].TruncatedBytes != test.cut {
							t.Errorf("line %d: got %d bytes and %d cut, want %d and %d", i, len(lines[i].Message), lines[i].TruncatedBytes,
								len(test.want), test.cut)
						}
					}
				})
			})
		}
	}
}

// Each line fills a batch. Lines of up to four containers have room in the queue, so that they come in order. Those of more do not
// wait for it.
func TestTheLongestLinesOfSeveralContainersComeAtOnce(t *testing.T) {
	for _, containers := range []int{1, 4, 20} {
		synctest.Test(t, func(t *testing.T) {
			const lines = 60
			logs := map[string]string{}
			web := pod("web")
			for i := range containers {
				web.Containers = append(web.Containers, podlog.Container{Name: fmt.Sprint("c", i), Run: podlog.Run{ID: fmt.Sprint(i)}})
			}
			for i := range lines {
				logs[fmt.Sprint("c", i%containers)] += at(i, strings.Repeat("x", podlog.MaxLineBytes-i))
			}
			source := newFakeSource(func(req podlog.LogRequest) (io.ReadCloser, error) {
				log := logs[req.Container]
				if req.Tail != nil {
					log = log[strings.LastIndex(strings.TrimSuffix(log, "\n"), "\n")+1:]
				}
				return text(log), nil
			}, pods(finished(web)))
			began, got := time.Now(), 0
			next := map[string]int{}
			for st := startStream(t, source, longInput()); ; {
				batch, err := st.Next(t.Context())
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				for _, line := range batch.Lines {
					i := podlog.MaxLineBytes - len(line.Message)
					if containers <= 4 && i != got || i/containers != next[line.Container] {
						t.Fatalf("line %d of %d containers is line %d", got, containers, i)
					}
					got++
					next[line.Container]++
				}
			}
			if took := time.Since(began); got != lines || took > podlog.ReorderWindow {
				t.Errorf("%d lines of %d containers came within %v", got, containers, took)
			}
		})
	}
}

// Without memory for more than a stream has in any case, a reader that is too slow still finds the last four lines.
func TestFourOfTheLongestLinesWaitForASlowReader(t *testing.T) {
	for _, spare := range []int{0, 10 << 20} {
		synctest.Test(t, func(t *testing.T) {
			r, w := io.Pipe()
			streamer := newTestStreamer(newFakeSource(func(podlog.LogRequest) (io.ReadCloser, error) { return r, nil },
				pods(pod("web", running("1")))))
			p := plan{maxLineBytes: podlog.MaxLineBytes}
			least := p.memory() + followerMemory + p.readerMemory()
			memory := newTestBudget(int64(least + spare))
			streamer.Budget = memory.Budget
			st, err := streamer.Stream(t.Context(), longInput())
			if err != nil {
				t.Fatal(err)
			}
			defer st.Close()
			if batch, err := st.Next(t.Context()); err != nil || len(batch.Notices) != 1 {
				t.Fatalf("got %v, %v, want a notice", batch, err)
			}
			for i := range 10 {
				if _, err := io.WriteString(w, liveLine(strings.Repeat("x", podlog.MaxLineBytes-i))); err != nil {
					t.Fatal(err)
				}
				elapse(time.Millisecond)
			}
			synctest.Wait()
			if n := st.queue.Bytes(); n > queue.MinWaiting(podlog.MaxLineBytes) {
				t.Errorf("%d bytes wait", n)
			}
			dropped, next := 0, 6
			for next < 10 {
				batch, err := st.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, n := range batch.Notices {
					dropped += *n.Count
				}
				for _, line := range batch.Lines {
					if len(line.Message) != podlog.MaxLineBytes-next {
						t.Fatalf("got a line of %d bytes", len(line.Message))
					}
					next++
				}
			}
			if dropped != 6 {
				t.Errorf("%d lines were dropped", dropped)
			}
			if used := memory.used(t); used != float64(least) {
				t.Errorf("%v bytes are used when all lines are read, want %d", used, least)
			}
		})
	}
}

func TestAStreamOfLongLinesIsRefusedWithoutMemoryForThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for long, want := range map[bool]bool{false: true, true: false} {
			streamer := newTestStreamer(newFakeSource(func(podlog.LogRequest) (io.ReadCloser, error) { return hanging(""), nil },
				pods(pod("web", running("1")))))
			streamer.Budget = newTestBudget(int64(leastMemory(1) + 100_000)).Budget
			in := podInput()
			if long {
				in = longInput()
			}
			st, err := streamer.Stream(t.Context(), in)
			if (err == nil) != want {
				t.Errorf("long lines: %v: got %v", long, err)
			}
			if err == nil {
				st.Close()
			}
		}
	})
}
