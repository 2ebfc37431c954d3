package follow

import (
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pullwatch/internal/podlog"
)

// Several containers have written by turns.
func TestHistoryOfManyContainersIsMerged(t *testing.T) {
	for _, containers := range []int{2, 7, 30} {
		synctest.Test(t, func(t *testing.T) {
			logs := map[string][]string{}
			p := pod("web")
			for i := range containers {
				name := fmt.Sprint("c", i)
				p.Containers = append(p.Containers, podlog.Container{Name: name, Run: podlog.Run{ID: name}})
			}
			const lines = 20_000
			for i := range lines {
				name := fmt.Sprint("c", (i*i/3)%containers)
				logs[name] = append(logs[name], at(i, strings.Repeat("x", 200)))
			}
			source := newFakeSource(func(req podlog.LogRequest) (io.ReadCloser, error) {
				return logFrom(logs[req.Container])(req)
			}, pods(finished(p)))
			st := startStream(t, source, podInput())
			var last time.Time
			n := 0
			for {
				batch, err := st.Next(t.Context())
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				for _, line := range batch.Lines {
					if line.Timestamp.Before(last) {
						t.Fatalf("%d containers: line of %v after one of %v", containers, line.Timestamp, last)
					}
					last = line.Timestamp
					n++
				}
			}
			if n != lines {
				t.Errorf("got %d lines, want %d", n, lines)
			}
		})
	}
}

// Followers wait for a slow reader, and each log has room in the queue: lines must be in the exact order of their timestamps.
func TestHistoryOfManyContainersIsMergedForASlowReader(t *testing.T) {
	for _, containers := range []int{2, 30} {
		synctest.Test(t, func(t *testing.T) {
			logs := map[string][]string{}
			p := pod("web")
			for i := range containers {
				name := fmt.Sprint("c", i)
				p.Containers = append(p.Containers, podlog.Container{Name: name, Run: podlog.Run{ID: name}})
			}
			random := rand.New(rand.NewPCG(uint64(containers), 0))
			const lines = 20_000
			for i := range lines {
				// One container after the other has the most to say.
				name := fmt.Sprint("c", (i*containers/lines+random.IntN(2)*random.IntN(containers))%containers)
				logs[name] = append(logs[name], at(i, strings.Repeat("x", random.IntN(1000))))
			}
			source := newFakeSource(func(req podlog.LogRequest) (io.ReadCloser, error) {
				return logFrom(logs[req.Container])(req)
			}, pods(finished(p)))
			st := startStream(t, source, podInput())
			for i := 0; i < lines; {
				elapse(time.Duration(random.IntN(2000)) * time.Millisecond)
				batch, err := st.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, line := range batch.Lines {
					if want := start.Add(time.Duration(i) * time.Millisecond); !line.Timestamp.Equal(want) {
						t.Fatalf("%d containers: line of %v, want that of %v", containers, line.Timestamp, want)
					}
					i++
				}
			}
		})
	}
}
