package replica

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// stoppable makes parts that note when they are stopped and when they end.
type stoppable struct {
	mu    sync.Mutex
	notes []string
}

func (s *stoppable) note(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notes = append(s.notes, what)
}

func (s *stoppable) part(name string, ending time.Duration, err error) Part {
	return func(ctx context.Context) error {
		<-ctx.Done()
		s.note("stop " + name)
		time.Sleep(ending)
		s.note(name + " ended")
		return err
	}
}

func TestEachPhaseEndsBeforeTheNextIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var parts stoppable
		ctx, stop := context.WithCancel(t.Context())
		ran := make(chan error)
		failed := errors.New("the slow part failed")
		go func() {
			ran <- run(ctx,
				[]Part{parts.part("a", 5*time.Second, nil)},
				[]Part{parts.part("b", time.Second, nil), func(ctx context.Context) error {
					<-ctx.Done()
					time.Sleep(time.Minute)
					return failed
				}},
				nil,
				[]Part{parts.part("c", 0, nil)},
			)
		}()
		synctest.Wait()
		if len(parts.notes) > 0 {
			t.Errorf("before anybody stops them: %q", parts.notes)
		}
		stop()
		if err := <-ran; !errors.Is(err, failed) {
			t.Errorf("%v, want %v", err, failed)
		}
		want := []string{"stop a", "a ended", "stop b", "b ended", "stop c", "c ended"}
		if !slices.Equal(parts.notes, want) {
			t.Errorf("%q, want %q", parts.notes, want)
		}
	})
}

func TestAPartThatFailsStopsTheOthersInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var parts stoppable
		failed := errors.New("the watch failed")
		err := run(t.Context(),
			[]Part{parts.part("server", time.Second, nil)},
			[]Part{func(context.Context) error { return failed }, parts.part("lists", 0, nil)},
		)
		if !errors.Is(err, failed) {
			t.Errorf("%v, want %v", err, failed)
		}
		if want := []string{"stop server", "server ended", "stop lists", "lists ended"}; !slices.Equal(parts.notes, want) {
			t.Errorf("%q, want %q", parts.notes, want)
		}
	})
}
