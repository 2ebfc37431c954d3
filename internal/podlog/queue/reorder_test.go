package queue

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/cursor"
)

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
				q := New(NewMetrics(prometheus.NewRegistry()), nil, podlog.DefaultLineBytes)
				containers := map[string]*Container{}
				for _, a := range test.arrivals {
					if containers[a.container] == nil {
						containers[a.container] = q.Add(0, "", a.container, cursor.Progress{})
						q.Activate(containers[a.container], true)
					}
				}
				begin := time.Now()
				go func() {
					for _, a := range test.arrivals {
						time.Sleep(a.after)
						nanos := begin.UnixNano() + int64(a.ms)*int64(time.Millisecond)
						q.TryPush(containers[a.container], &Chunk{
							live: true, size: LineOverhead, positions: []cursor.Position{{Nanos: nanos}},
							lines: []podlog.Line{{Container: a.container, Message: fmt.Sprint(a.container, a.ms)}},
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

// A chunk that waited for room does not wait another window once it has it.
func TestAChunkThatWaitedForRoomCountsFromWhenItBeganToWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := New(NewMetrics(prometheus.NewRegistry()), nil, podlog.DefaultLineBytes)
		container := q.Add(0, "", "app", cursor.Progress{})
		q.Activate(container, true)
		chunk := func() *Chunk {
			return &Chunk{size: MaxChunkBytes, positions: []cursor.Position{{Nanos: 1}}, lines: []podlog.Line{{Container: "app"}}}
		}
		second, begin := chunk(), time.Now()
		second.size = q.share() // all that the container may have
		if !q.TryPush(container, chunk()) || q.TryPush(container, second) {
			t.Fatal("the second chunk has to wait for room")
		}
		time.Sleep(time.Second) // fake time
		var b batchBuilder
		q.take(&b)
		if !q.TryPush(container, second) || !second.arrived.Equal(begin) {
			t.Errorf("it counts from %v after it began to wait", second.arrived.Sub(begin))
		}
	})
}
