package follow

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pullwatch/internal/podlog"
)

// story returns what a reader takes a stream for, who reads the notices of each batch before its lines.
func story(t *testing.T, st *Stream) (told []string) {
	t.Helper()
	for {
		batch, err := st.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return told
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range batch.Notices {
			told = append(told, string(n.Kind))
		}
		for _, l := range batch.Lines {
			told = append(told, l.Message)
		}
	}
}

func wantStory(t *testing.T, st *Stream, want ...string) {
	t.Helper()
	if told := story(t, st); !slices.Equal(told, want) {
		t.Errorf("the reader takes it for\n%s, want\n%s", strings.Join(told, " "), strings.Join(want, " "))
	}
}

// All is there when the reader comes.
func TestLinesOfTwoRunsAreToldApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := podlog.Run{ID: "1", ExitCode: 1, Reason: "Error", Started: start}
		second := podlog.Run{ID: "2", Reason: "Completed", Restarts: 1, Started: start.Add(10 * time.Second)}
		source := newFakeSource(func(req podlog.LogRequest) (io.ReadCloser, error) {
			if req.Previous {
				return logFrom([]string{at(0, "one"), at(1, "two")})(req)
			}
			return logFrom([]string{at(10_000, "three")})(req)
		}, pods(pod("web", podlog.Container{Name: "app", Waiting: "ContainerCreating"})))
		st := startStream(t, source, podInput())
		synctest.Wait()
		source.snapshots <- pods(finished(pod("web", podlog.Container{Name: "app", Run: second, Previous: first})))
		elapse(time.Minute)
		wantStory(t, st, "WAITING", "STARTED", "one", "two", "ENDED", "STARTED", "three", "ENDED")
	})
}

// A pod of a StatefulSet is replaced by one of the same name.
func TestLinesOfAPodAndOfItsSuccessorAreToldApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := newFakeSource(func(req podlog.LogRequest) (io.ReadCloser, error) {
			switch {
			case !req.Follow:
				return nil, podlog.ErrGone
			case req.Run == "1":
				return hanging(at(0, "one") + at(1000, "two")), nil
			}
			return hanging(at(500, "three") + at(2000, "four")), nil
		}, pods(pod("web-0", running("1"))))
		in := podlog.Input{Namespace: "default", Selector: ptr("app=web"), Follow: true}
		st := startStream(t, source, in)
		elapse(time.Second)
		successor := podlog.Pod{Name: "web-0", UID: "successor", Containers: []podlog.Container{running("2")}}
		source.snapshots <- pods(successor)
		go func() {
			elapse(time.Minute)
			st.cancel()
		}()
		var told []string
		for {
			batch, err := st.Next(t.Context())
			if err != nil {
				break
			}
			for _, n := range batch.Notices {
				told = append(told, fmt.Sprint(n.Kind))
			}
			for _, l := range batch.Lines {
				told = append(told, l.Message)
			}
		}
		want := []string{"STARTED", "one", "two", "GAP", "ENDED", "STARTED", "three", "four"}
		if !slices.Equal(told, want) {
			t.Errorf("the reader takes it for %q, want %q", told, want)
		}
	})
}
