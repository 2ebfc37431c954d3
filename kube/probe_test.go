package kube

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/client-go/rest"
)

// probedAPI is an API server whose readiness is asked for.
type probedAPI struct {
	probes atomic.Int32
	hangs  atomic.Bool
}

func (a *probedAPI) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, "/readyz") {
		a.probes.Add(1)
	}
	if a.hangs.Load() {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: r, Header: http.Header{}}, nil
}

// work runs do as a mutation does, in a context of guard's.
func work(ctx context.Context, t *testing.T, h *Health, do func(context.Context)) {
	t.Helper()
	ctx, release, err := h.guard(ctx)
	if err != nil {
		t.Error(err)
		return
	}
	defer release()
	do(ctx)
}

func newProbed(t *testing.T) (*probedAPI, *Health) {
	t.Helper()
	api := &probedAPI{}
	health, err := NewHealth(&rest.Config{Host: "http://api.example", Transport: api}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	return api, health
}

// An API server that is slow because it has much to do must not get a request more for each mutation that waits.
func TestMutationsThatWaitProbeTheAPIServerTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api, health := newProbed(t)
		var working sync.WaitGroup
		for range 500 {
			working.Go(func() {
				work(t.Context(), t, health, func(ctx context.Context) {
					select {
					case <-time.After(1900 * time.Millisecond):
					case <-ctx.Done():
						t.Error(context.Cause(ctx))
					}
				})
			})
			time.Sleep(time.Millisecond)
		}
		working.Wait()
		if probes := api.probes.Load(); probes < 1 || probes > 4 {
			t.Errorf("%d probes in 2.4 s", probes)
		}
	})
}

func TestACallThatEndsDoesNotEndTheProbeOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api, health := newProbed(t)
		api.hangs.Store(true)
		began := time.Now()
		var working sync.WaitGroup
		first, leave := context.WithCancel(t.Context())
		working.Go(func() {
			work(first, t, health, func(ctx context.Context) { <-ctx.Done() })
		})
		time.Sleep(time.Millisecond)
		working.Go(func() {
			work(t.Context(), t, health, func(ctx context.Context) {
				<-ctx.Done()
				if err := context.Cause(ctx); !errors.Is(err, errAway) {
					t.Error(err)
				}
			})
		})
		time.Sleep(probeAfter + 100*time.Millisecond)
		leave() // it had begun the probe
		working.Wait()
		if waited, most := time.Since(began), probeAfter+probeTimeout; waited > most || api.probes.Load() != 1 {
			t.Errorf("known to be away after %s and %d probes, want %s and 1", waited, api.probes.Load(), most)
		}
	})
}

// Nobody waits for an answer any more.
func TestAProbeThatNobodyWaitsForSaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api, health := newProbed(t)
		api.hangs.Store(true)
		ctx, cancel := context.WithTimeout(t.Context(), probeAfter+probeTimeout/2)
		defer cancel()
		work(ctx, t, health, func(ctx context.Context) { <-ctx.Done() })
		if health.Away() || api.probes.Load() != 1 {
			t.Errorf("away: %t after %d probes", health.Away(), api.probes.Load())
		}
	})
}
