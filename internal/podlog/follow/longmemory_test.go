package follow

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pullwatch/internal/budget"
	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/queue"
)

// startFiltered starts a stream with an expression, and returns its memory.
func startFiltered(t *testing.T, log func(podlog.LogRequest) (io.ReadCloser, error)) (*Stream, *testBudget) {
	t.Helper()
	streamer := newTestStreamer(newFakeSource(log, pods(pod("web", running("1")))))
	memory := newTestBudget(1 << 30)
	streamer.Budget = memory.Budget
	in := podInput()
	in.Include = ptr("wanted")
	st, err := streamer.Stream(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return st, memory
}

func TestASilentLogKeepsNoMemoryOfALongLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, memory := startFiltered(t, func(podlog.LogRequest) (io.ReadCloser, error) {
			return hanging(at(0, strings.Repeat("x", 2<<20))), nil
		})
		elapse(time.Second)
		if used := memory.used(t); used > 1<<20 {
			t.Errorf("%v bytes are used", used)
		}
		st.Close()
		if used := memory.used(t); used != 0 {
			t.Errorf("%v bytes are used afterwards", used)
		}
	})
}

// The connection breaks in the middle of a line, of which the beginning is kept in case that no other request brings more.
func TestTheBeginningOfALongLineIsInTheBudgetWhileItIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var again []string
		line := at(0, strings.Repeat("x", 2<<20)+" wanted")
		st, memory := startFiltered(t, func(podlog.LogRequest) (io.ReadCloser, error) {
			if again != nil {
				return hanging(again[0]), nil
			}
			again = []string{line}
			return broken(strings.TrimSuffix(line, "\n")), nil
		})
		synctest.Wait()
		if used := memory.used(t); used < 2<<20 {
			t.Errorf("%v bytes are used while it is kept", used)
		}
		elapse(time.Minute)
		if used := memory.used(t); used > 1<<20 {
			t.Errorf("%v bytes are used when the whole line has come", used)
		}
		st.Close()
		if used := memory.used(t); used != 0 {
			t.Errorf("%v bytes are used afterwards", used)
		}
	})
}

func TestAPatternOfNamesIsInTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for pattern, want := range map[string]error{"c{500}|.*": budget.ErrShare, "": nil} {
			streamer := newTestStreamer(newFakeSource(func(podlog.LogRequest) (io.ReadCloser, error) { return hanging(""), nil },
				pods(pod("web", running("1")))))
			streamer.Budget = newTestBudget(3 * int64(streamMemory+queue.MinWaiting(podlog.DefaultLineBytes)+followerMemory+readerMemory)).Budget
			in := podInput()
			in.Caller, in.Containers = "a", &pattern
			st, err := streamer.Stream(t.Context(), in)
			if !errors.Is(err, want) {
				t.Errorf("%q: got %v, want %v", pattern, err, want)
			}
			if err == nil {
				st.Close()
			}
		}
	})
}
