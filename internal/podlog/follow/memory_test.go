package follow

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pullwatch/internal/budget"
	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/queue"
)

// testBudget is a budget with a way to learn how much of it is used.
type testBudget struct {
	*budget.Budget
	registry *prometheus.Registry
}

func newTestBudget(bytes int64) *testBudget {
	r := prometheus.NewRegistry()
	return &testBudget{Budget: budget.New(bytes, r), registry: r}
}

// used returns how many bytes are used of all kinds.
func (b *testBudget) used(t *testing.T) (bytes float64) {
	t.Helper()
	families, err := b.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, metric := range family.Metric {
			if family.GetName() == "pullwatch_memory_budget_used_bytes" {
				bytes += metric.GetGauge().GetValue()
			}
		}
	}
	return bytes
}

// leastMemory is what a stream of that many running containers takes, in bytes.
func leastMemory(containers int) int {
	p := plan{maxLineBytes: podlog.DefaultLineBytes}
	return p.memory() + containers*(followerMemory+p.readerMemory())
}

func TestStreamsWithoutMemoryAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := func() *fakeSource {
			return newFakeSource(func(podlog.LogRequest) (io.ReadCloser, error) { return hanging(""), nil }, pods(pod("web", running("1"))))
		}
		open := func(memory *testBudget, include string) (*Stream, error) {
			streamer := newTestStreamer(source())
			streamer.Budget = memory.Budget
			in := podInput()
			in.Caller, in.Include = "a", &include
			return streamer.Stream(t.Context(), in)
		}
		one := leastMemory(1)
		for name, test := range map[string]struct {
			bytes   int64
			include string
			want    error
		}{
			"room for one":                {int64(3 * one), "", nil},
			"no room for its container":   {int64(3*one - 1), "", budget.ErrShare},
			"no room for the stream":      {int64(3*leastMemory(0) - 1), "", budget.ErrShare},
			"no room for its expression":  {int64(3 * one), "x{500}", budget.ErrShare},
			"room for its expression":     {int64(3*one + 3_000_000), "x{500}", nil},
			"nothing left for any stream": {100, "", budget.ErrFull},
		} {
			memory := newTestBudget(test.bytes)
			st, err := open(memory, test.include)
			if !errors.Is(err, test.want) {
				t.Errorf("%s: got %v, want %v", name, err, test.want)
			}
			if err == nil {
				st.Close()
			}
			if used := memory.used(t); used != 0 {
				t.Errorf("%s: %v bytes are used afterwards", name, used)
			}
		}
	})
}

// Without memory for more than a stream has in any case, no line of history is lost or out of order.
func TestHistoryWaitsForMemory(t *testing.T) {
	for _, containers := range []int{1, 20} {
		synctest.Test(t, func(t *testing.T) {
			const lines = 5000
			logs := map[string][]string{}
			web := pod("web")
			for i := range containers {
				c := podlog.Container{Name: fmt.Sprint("c", i), Run: podlog.Run{ID: fmt.Sprint(i)}}
				web.Containers = append(web.Containers, c)
			}
			for i := range lines {
				name := fmt.Sprint("c", i%containers)
				logs[name] = append(logs[name], at(i, fmt.Sprint(i, " ", strings.Repeat("x", 1000))))
			}
			streamer := newTestStreamer(newFakeSource(func(req podlog.LogRequest) (io.ReadCloser, error) {
				return logFrom(logs[req.Container])(req)
			}, pods(finished(web))))
			memory := newTestBudget(int64(leastMemory(containers)))
			streamer.Budget = memory.Budget
			st, err := streamer.Stream(t.Context(), podInput())
			if err != nil {
				t.Fatal(err)
			}
			elapse(time.Minute)
			synctest.Wait()
			if st.queue.Bytes() > queue.MinWaiting(podlog.DefaultLineBytes)+queue.MaxChunkBytes {
				t.Errorf("%d bytes wait", st.queue.Bytes())
			}
			got, err := readAll(t, st)
			if err != nil || len(got.lines) != lines {
				t.Fatalf("got %d lines, %v", len(got.lines), err)
			}
			next := map[string]int{}
			for _, line := range got.lines {
				name, message, _ := strings.Cut(strings.TrimPrefix(line, "web/"), ": ")
				_, want, _ := strings.Cut(logs[name][next[name]], " ")
				if message != strings.TrimSuffix(want, "\n") {
					t.Fatalf("got %.20q of %s, want %.20q", message, name, want)
				}
				next[name]++
			}
			st.Close()
			if used := memory.used(t); used != 0 {
				t.Errorf("%v bytes are used afterwards", used)
			}
		})
	}
}

// Live lines are dropped for later ones when there is no more memory. Memory is given back when the lines are read.
func TestLiveLinesAreDroppedWhenMemoryIsShort(t *testing.T) {
	for _, spare := range []int{0, 300_000, 10 << 20} {
		synctest.Test(t, func(t *testing.T) {
			r, w := io.Pipe()
			streamer := newTestStreamer(newFakeSource(func(podlog.LogRequest) (io.ReadCloser, error) { return r, nil },
				pods(pod("web", running("1")))))
			least := leastMemory(1)
			memory := newTestBudget(int64(least + spare))
			streamer.Budget = memory.Budget
			st, err := streamer.Stream(t.Context(), podInput())
			if err != nil {
				t.Fatal(err)
			}
			defer st.Close()
			const lines = 3000
			for i := range lines {
				if _, err := io.WriteString(w, stamped(fmt.Sprint(i, " ", strings.Repeat("x", 1000)))); err != nil {
					t.Fatal(err)
				}
				elapse(time.Millisecond)
			}
			synctest.Wait()
			room := min(queue.MinWaiting(podlog.DefaultLineBytes)+spare, podlog.MaxWaiting)
			if size := st.queue.Bytes(); size > room || size < room-queue.WaitingStep-queue.MaxChunkBytes {
				t.Errorf("%d bytes wait where there is room for %d", size, room)
			}
			if used := memory.used(t); used > float64(least+spare) {
				t.Errorf("%v bytes are used", used)
			}
			for next := 0; next < lines; {
				batch, err := st.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				next += len(batch.Lines)
				for _, n := range batch.Notices {
					if n.Kind == podlog.Dropped {
						next += *n.Count
					}
				}
			}
			if used := memory.used(t); used != float64(least) {
				t.Errorf("%v bytes are used when all lines are read, want %d", used, least)
			}
		})
	}
}
