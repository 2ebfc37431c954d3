package follow

import (
	"context"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pullwatch/internal/podlog"
)

// findTail asks for the two last lines of a log.
func findTail(ctx context.Context, tails *tails) (tailStart, error) {
	return tails.find(ctx, tailKey{request: podlog.LogRequest{Pod: "web", Container: "app", Run: "1", Follow: true}, lines: 2})
}

func TestATailIsFoundOnceForAllWhoAskWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &partsLog{lines: []string{"a", "b", "c", "d"}}
		source := newFakeSource(func(req podlog.LogRequest) (io.ReadCloser, error) {
			elapse(100 * time.Millisecond)
			return log.open(req)
		})
		tails := newTails(source)
		var asking sync.WaitGroup
		for i := range 100 {
			asking.Go(func() {
				elapse(time.Duration(i) * 9 * time.Millisecond)
				start, err := findTail(t.Context(), tails)
				if err != nil || start.lines != 2 || start.before.Nanos != partTime(1).UnixNano() {
					t.Errorf("got %+v, %v", start, err)
				}
			})
		}
		asking.Wait()
		if n := len(source.requests); n != 1 {
			t.Errorf("%d requests", n)
		}
		elapse(tailLife)
		if _, err := findTail(t.Context(), tails); err != nil || len(source.requests) != 2 {
			t.Errorf("%d requests, %v", len(source.requests), err)
		}
		elapse(tailLife)
		tails.mu.Lock()
		defer tails.mu.Unlock()
		if len(tails.searches) > 0 {
			t.Error("an old answer is kept")
		}
	})
}

func TestATailIsFoundForOthersWhenTheFirstWhoAskedHasGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &partsLog{lines: []string{"a", "b", "c", "d"}}
		ctx, leave := context.WithCancel(t.Context())
		tails := newTails(newFakeSource(func(req podlog.LogRequest) (io.ReadCloser, error) {
			if ctx.Err() == nil {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return log.open(req)
		}))
		var asking sync.WaitGroup
		asking.Go(func() {
			if _, err := findTail(ctx, tails); err == nil {
				t.Error("the first one got an answer")
			}
		})
		synctest.Wait()
		for range 3 {
			asking.Go(func() {
				if start, err := findTail(t.Context(), tails); err != nil || start.lines != 2 {
					t.Errorf("got %+v, %v", start, err)
				}
			})
		}
		synctest.Wait()
		leave()
		asking.Wait()
	})
}

// A container writes while its last lines are read.
func TestATailThatIsNotFollowedHasThatManyLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &partsLog{lines: []string{"a", "b", "c", "d"}}
		source := newFakeSource(func(req podlog.LogRequest) (io.ReadCloser, error) {
			defer func() { log.lines = append(log.lines, "later") }()
			return log.open(req)
		}, pods(pod("web", running("1"))))
		in := podInput()
		in.TailLines, in.Follow = ptr(2), false
		got, err := readAll(t, startStream(t, source, in))
		if err != nil || !slices.Equal(got.lines, []string{"web/app: c", "web/app: d"}) {
			t.Errorf("got %q, %v", got.lines, err)
		}
	})
}
