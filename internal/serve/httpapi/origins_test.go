package httpapi

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"pullwatch/internal/pull"
	"pullwatch/internal/serve/transport/transporttest"
)

// request sends a request to /graphql with a header.
func (s *served) request(t *testing.T, method, path, body string, header map[string]string) *http.Response {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range header {
		request.Header.Set(name, value)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		answer.Body.Close()
	})
	return answer
}

func TestOnlyAllowedPagesMaySendRequests(t *testing.T) {
	s := serve(t)
	const query = `{"query":"{activePulls{id}}"}`
	for origin, allowed := range map[string]bool{"https://dash.example": true, "https://evil.example": false, "null": false, "https://dash.example.evil": false} {
		shared := ""
		if allowed {
			shared = origin
		}
		preflight := s.request(t, http.MethodOptions, "/graphql", "", map[string]string{
			"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,x-anything",
		})
		if got := preflight.Header.Get("Access-Control-Allow-Origin"); got != shared {
			t.Errorf("preflight of %s: %q", origin, got)
		}
		if got := preflight.Header.Get("Access-Control-Allow-Headers"); (got != "") != allowed {
			t.Errorf("preflight of %s allows %q", origin, got)
		}
		for _, answer := range []*http.Response{
			s.request(t, http.MethodPost, "/graphql", query, map[string]string{"Origin": origin, "Content-Type": "application/json"}),
			s.request(t, http.MethodGet, "/graphql?query={activePulls{id}}", "", map[string]string{"Origin": origin}),
		} {
			if got := answer.Header.Get("Access-Control-Allow-Origin"); got != shared {
				t.Errorf("%s of %s: %q", answer.Request.Method, origin, got)
			}
			if exposed := answer.Header.Get("Access-Control-Expose-Headers"); strings.Contains(strings.ToLower(exposed), "etag") != allowed {
				t.Errorf("%s of %s exposes %q", answer.Request.Method, origin, exposed)
			}
			if !strings.Contains(strings.Join(answer.Header.Values("Vary"), ","), "Origin") {
				t.Errorf("%s of %s: a cache could give the answer to others", answer.Request.Method, origin)
			}
		}
	}
}

func TestOnlyAllowedPagesMayOpenStreams(t *testing.T) {
	s := serve(t)
	s.backend.Publish(&pull.State{ID: "a", Phase: pull.Queued})
	const subscription = `{"query":"subscription{pullJobUpdated(ids: [\"a\"]){phase}}"}`
	for origin, status := range map[string]int{"": 200, "https://dash.example": 200, "https://evil.example": 403} {
		header := map[string]string{"Content-Type": "application/json", "Accept": "text/event-stream"}
		if origin != "" {
			header["Origin"] = origin
		}
		answer := s.request(t, http.MethodPost, "/graphql", subscription, header)
		if answer.StatusCode != status {
			t.Errorf("%q: %s", origin, answer.Status)
		}
		if status == 200 {
			if event := readEvent(t, bufio.NewReader(answer.Body)); !strings.Contains(event, `"phase":"QUEUED"`) {
				t.Errorf("%q: %s", origin, event)
			}
		}
	}
}

// TestARefusedPageIsToldWhichFlagLetsItIn: behind a proxy that changes Host, queries work and streams do not, and nobody knows why.
func TestARefusedPageIsToldWhichFlagLetsItIn(t *testing.T) {
	s := serve(t)
	const subscription = `{"query":"subscription{pullJobUpdated(ids: [\"a\"]){phase}}"}`
	open := map[string]func(origin string) *http.Response{
		"stream": func(origin string) *http.Response {
			return s.request(t, http.MethodPost, "/graphql", subscription,
				map[string]string{"Content-Type": "application/json", "Accept": "text/event-stream", "Origin": origin})
		},
		"WebSocket": func(origin string) *http.Response {
			return s.request(t, http.MethodGet, "/graphql", "", map[string]string{
				"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
				"Sec-WebSocket-Protocol": "graphql-transport-ws", "Origin": origin,
			})
		},
	}
	for kind, request := range open {
		answer := request("http://localhost:5173")
		if got := decode(t, answer); answer.StatusCode != http.StatusForbidden || !strings.Contains(got.Errors[0].Message, "--allowed-origin=http://localhost:5173") {
			t.Errorf("%s: %s %+v; want 403 and the flag", kind, answer.Status, got)
		}
	}
	open["stream"]("http://localhost:5174")
	for i := range 2 * maxLoggedOrigins {
		open["stream"](fmt.Sprintf("http://%d.example", i))
	}
	count := map[string]int{}
	for _, line := range s.log.all() {
		if _, origin, ok := strings.Cut(line, "origin=http://"); ok && strings.Contains(line, "--allowed-origin") {
			count[strings.Fields(origin)[0]]++
		}
	}
	if count["localhost:5173"] != 1 || count["localhost:5174"] != 1 || len(count) != maxLoggedOrigins {
		t.Errorf("%d origins are logged, some %d and %d times; want one line for each of the first %d",
			len(count), count["localhost:5173"], count["localhost:5174"], maxLoggedOrigins)
	}
}

// readEvent returns the next event of a stream. It skips comments.
func readEvent(t *testing.T, stream *bufio.Reader) string {
	t.Helper()
	for {
		if event := transporttest.ReadEvent(t, stream); strings.Contains(event, "data:") {
			return event
		}
	}
}

func TestStreamsEndWhenTheServerStops(t *testing.T) {
	s := serve(t)
	s.backend.Publish(&pull.State{ID: "a", Phase: pull.Queued})
	answer := s.request(t, http.MethodPost, "/graphql", `{"query":"subscription{pullJobUpdated{phase}}"}`,
		map[string]string{"Content-Type": "application/json", "Accept": "text/event-stream"})
	stream := bufio.NewReader(answer.Body)
	readEvent(t, stream)
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	rest, err := io.ReadAll(stream)
	if err != nil {
		t.Error(err)
	}
	if strings.Contains(string(rest), "complete") {
		t.Error("the subscription was completed: no client comes back for it")
	}
}
