package kube

import (
	"context"
	"testing"
	"time"

	"pullwatch/pull"
	"pullwatch/usererr"
)

// A mutation that finds no API server is told so, and not after its whole time.
func TestMutationsFailAtOnceWhileKubernetesIsAway(t *testing.T) {
	for name, fault := range map[string]func(*refusing, bool){
		"refused": func(r *refusing, on bool) { r.on.Store(on) },
		"hanging": func(r *refusing, on bool) { r.hangs.Store(on) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newReplica(t, newAPI(t), "a", 1)
			id := r.start(t, "nginx")[0].ID
			fault(r.refuse, true)
			began := time.Now()
			for range 3 {
				if _, err := r.pulls.Cancel(t.Context(), id); usererr.CodeOf(err) != usererr.Unavailable {
					t.Errorf("%v", err)
				}
			}
			if took := time.Since(began); took > callTimeout/2 {
				t.Errorf("three mutations took %s", took)
			}
			fault(r.refuse, false)
			awaitPresent(t, r.pulls.health)
			if job, err := r.pulls.Cancel(t.Context(), id); err != nil || job.Phase != pull.Canceled {
				t.Errorf("back again: %+v, %v", job, err)
			}
		})
	}
}

// awaitPresent asks until the API server has been found back, as the program does by competing for the Lease.
func awaitPresent(t *testing.T, h *Health) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for h.whilePresent().Err() != nil && ctx.Err() == nil {
		h.probe(ctx)
	}
}
