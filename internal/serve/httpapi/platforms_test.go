package httpapi

import (
	"testing"

	"pullwatch/internal/pull"
)

func TestPlatformsAreShownAndPassedOn(t *testing.T) {
	s := serve(t)
	s.backend.active = func() ([]*pull.State, error) {
		return []*pull.State{{ID: "a", Phase: pull.Queued}, {ID: "b", Phase: pull.Queued, Platforms: []string{"linux/amd64", "linux/arm64"}}}, nil
	}
	const want = `{"activePulls":[{"id":"a","platforms":null},{"id":"b","platforms":["linux/amd64","linux/arm64"]}]}`
	if r := s.post(t, "{activePulls{id platforms}}", nil); string(r.Data) != want {
		t.Errorf("got %s, want %s; errors %+v", r.Data, want, r.Errors)
	}
	const start = "mutation($input:StartPullsInput!){startPulls(input:$input){results{image}}}"
	s.post(t, start, map[string]any{"input": map[string]any{"images": []string{"nginx"}, "platforms": []string{"linux/arm64"}}})
	if got := s.backend.started; len(got.Platforms) != 1 || got.Platforms[0] != "linux/arm64" {
		t.Errorf("asked for %+v", got)
	}
	s.post(t, start, map[string]any{"input": map[string]any{"images": []string{"nginx"}}})
	if got := s.backend.started; got.Platforms != nil {
		t.Errorf("asked for %+v, want all platforms", got)
	}
}
