package httpapi

import (
	"errors"
	"net/http"
	"testing"
)

func TestProbesSeeWhetherTheServerIsReady(t *testing.T) {
	s := serve(t)
	status := func(path string) int {
		answer, err := http.Get(s.url + path)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer.StatusCode
	}
	s.ready = errors.New("not yet")
	if got := status("/readyz"); got != http.StatusServiceUnavailable {
		t.Error(got)
	}
	s.ready = nil
	for _, path := range []string{"/readyz", "/healthz", "/metrics"} {
		if got := status(path); got != http.StatusOK {
			t.Errorf("%s: %d", path, got)
		}
	}
}

func TestPagesOfOtherOriginsOpenNoWebSocket(t *testing.T) {
	s := serve(t)
	for origin, allowed := range map[string]bool{
		"": true, s.url: true, "https://dash.example": true, "https://evil.example": false, "https://dash.example.evil": false, "null": false,
	} {
		header := http.Header{}
		if origin != "" {
			header.Set("Origin", origin)
		}
		if _, err := s.dial(t, header); (err == nil) != allowed {
			t.Errorf("origin %q: %v", origin, err)
		}
	}
}

func TestOtherHostNamesAreRefusedOnLoopback(t *testing.T) {
	s := serve(t)
	for host, status := range map[string]int{
		"localhost:8080": 200, "127.0.0.1": 200, "[::1]:8080": 200, "dash.example": 200, "evil.example:8080": 421, "10.1.2.3": 421, "localhost.evil.example": 421,
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/healthz", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = host
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != status {
			t.Errorf("%s: %s, want %d", host, answer.Status, status)
		}
	}
}
