package httpapi

import (
	"testing"

	"pullwatch/internal/pull"
)

// Beside a list, too, whose answers are kept.
func TestTheStateOfTheQueueIsShownAsItIsNow(t *testing.T) {
	s := serve(t)
	s.backend.unchanged = true
	s.backend.active = func() ([]*pull.State, error) { return []*pull.State{{ID: "a", Phase: pull.Queued, Held: true}}, nil }
	show := func(want string) {
		t.Helper()
		if r := s.post(t, "{queue{paused reason since} activePulls{id held}}", nil); string(r.Data) != want {
			t.Errorf("got %s, want %s; errors %+v", r.Data, want, r.Errors)
		}
	}
	show(`{"queue":{"paused":false,"reason":null,"since":null},"activePulls":[{"id":"a","held":true}]}`)
	s.post(t, `mutation{pauseQueue(reason:"so"){paused}}`, nil)
	show(`{"queue":{"paused":true,"reason":"so","since":"1970-01-01T00:00:00Z"},"activePulls":[{"id":"a","held":true}]}`)
	s.post(t, `mutation{resumeQueue{paused}}`, nil)
	show(`{"queue":{"paused":false,"reason":null,"since":null},"activePulls":[{"id":"a","held":true}]}`)
}
