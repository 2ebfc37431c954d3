package queue

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/cursor"
)

// newMixedQueue returns a queue of containers that have ended and were read, and of others that go on.
func newMixedQueue(ended, open int) (*Queue, []*Container) {
	q := New(NewMetrics(prometheus.NewRegistry()), nil, podlog.DefaultLineBytes)
	var containers []*Container
	for i := range ended + open {
		c := q.Add(cursor.ContainerKey(i), "web", fmt.Sprint("c", i), cursor.Progress{})
		if i < ended {
			q.TryPush(c, NewNotice(podlog.Notice{Kind: podlog.Ended}, cursor.Progress{Over: true}))
			q.End(c)
		} else {
			q.Activate(c, true)
			containers = append(containers, c)
		}
	}
	q.take(&batchBuilder{})
	q.take(&batchBuilder{})
	return q, containers
}

// pushLine queues one line, written ms milliseconds after 1970.
func pushLine(b testing.TB, q *Queue, c *Container, ms int) {
	var w Writer
	stamp := time.UnixMilli(int64(ms))
	p := cursor.Progress{Run: 1}
	p.Position.Advance(stamp.UnixNano(), 0)
	if err := w.Add(b.Context(), podlog.Line{Pod: c.Pod, Container: c.Name, Timestamp: stamp}, p.Position, []byte("line"), len("line"), nil); err != nil {
		b.Fatal(err)
	}
	if !q.TryPush(c, w.Flush(p)) {
		b.Fatal("no room")
	}
}

// Merging walks all containers for each line.
func TestContainersThatHaveEndedAndWereReadAreNotMerged(t *testing.T) {
	q, containers := newMixedQueue(950, 50)
	if len(q.open) != len(containers) || len(q.containers) != 1000 {
		t.Errorf("%d of %d containers are merged, want %d of 1000", len(q.open), len(q.containers), len(containers))
	}
	pushLine(t, q, containers[0], 1)
	q.End(containers[0])
	q.Retire(containers[0])
	if len(q.open) != 50 {
		t.Error("one that has a line is not merged")
	}
	b := &batchBuilder{}
	for _, c := range containers[1:] {
		q.End(c) // it need not be waited for
	}
	if q.take(b); len(b.lines) != 1 || len(q.open) != 0 || len(q.containers) != 999 {
		t.Errorf("got %d lines; %d of %d containers are merged", len(b.lines), len(q.open), len(q.containers))
	}
}

// BenchmarkMerge merges the lines of 50 containers, beside others that have ended.
func BenchmarkMerge(b *testing.B) {
	for _, ended := range []int{0, 950} {
		b.Run(fmt.Sprint(ended, " ended"), func(b *testing.B) {
			q, containers := newMixedQueue(ended, 50)
			taken := 0
			for ms := 1; b.Loop(); ms++ {
				for _, c := range containers {
					pushLine(b, q, c, ms)
				}
				for {
					batch := &batchBuilder{}
					q.take(batch)
					if batch.size() == 0 {
						break
					}
					taken += len(batch.lines)
				}
			}
			b.ReportMetric(float64(taken)/b.Elapsed().Seconds(), "lines/s")
		})
	}
}
