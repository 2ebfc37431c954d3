package follow

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"pullwatch/internal/podlog"
)

func TestASilentLogThatHasAnEndIsGivenUp(t *testing.T) {
	ctxGuard := func(t *testing.T) (context.Context, *stallGuard) {
		ctx, cancel := context.WithCancel(t.Context())
		g := newStallGuard(false, cancel)
		t.Cleanup(g.stop)
		return ctx, g
	}
	hangs := func(ctx context.Context) func(podlog.LogRequest) (io.ReadCloser, error) {
		return func(podlog.LogRequest) (io.ReadCloser, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
	}
	t.Run("opening", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, g := ctxGuard(t)
			begun := time.Now()
			_, err := g.open(ctx, newFakeSource(hangs(ctx)), podlog.LogRequest{})
			if waited := time.Since(begun); !errors.Is(err, context.Canceled) || waited != stallLimit {
				t.Errorf("%v after %v", err, waited)
			}
		})
	})
	t.Run("between opening and reading", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, g := ctxGuard(t)
			log, err := g.open(ctx, newFakeSource(func(podlog.LogRequest) (io.ReadCloser, error) { return hanging("a"), nil }), podlog.LogRequest{})
			if err != nil {
				t.Fatal(err)
			}
			defer log.Close()
			elapse(time.Hour)
			read, begun := &guardedReader{log: log, guard: g, flush: func() error { return nil }}, time.Now()
			if text, err := io.ReadAll(read); string(text) != "a" || !errors.Is(err, context.Canceled) {
				t.Errorf("got %q, %v", text, err)
			}
			if waited := time.Since(begun); waited != stallLimit {
				t.Errorf("gave up after %v", waited)
			}
		})
	})
}
