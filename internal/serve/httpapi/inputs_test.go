package httpapi

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/follow"
	"pullwatch/internal/pull"
	"pullwatch/internal/usererr"
)

// askedLogs keeps what was last asked for.
type askedLogs struct{ input podlog.Input }

func (a *askedLogs) Stream(_ context.Context, in podlog.Input) (*follow.Stream, error) {
	a.input = in
	return nil, usererr.New(usererr.NotFound, "there is no such pod")
}

func TestLogsAreFollowedUnlessTheClientSaysNo(t *testing.T) {
	s := serve(t)
	var asked askedLogs
	s.backend.logs = &asked
	header := map[string]string{"Content-Type": "application/json", "Accept": "text/event-stream"}
	for _, test := range []struct {
		declared, argument, value string
		follow                    bool
	}{
		{"", "", "", true},
		{"", ", follow: null", "", true},
		{"($f: Boolean)", ", follow: $f", "null", true},
		{"($f: Boolean)", ", follow: $f", "false", false},
		{"($f: Boolean!)", ", follow: $f", "false", false},
	} {
		body := `{"query":"subscription` + test.declared + `{podLogs(input: {namespace: \"a\", pod: \"b\"` + test.argument + `}){cursor}}"`
		if test.value != "" {
			body += `,"variables":{"f":` + test.value + `}`
		}
		answer := s.request(t, http.MethodPost, "/graphql", body+"}", header)
		if text, err := io.ReadAll(answer.Body); err != nil || !strings.Contains(string(text), "NOT_FOUND") {
			t.Fatalf("%s: %s, %v", body, text, err)
		}
		if asked.input.Follow != test.follow || asked.input.Previous {
			t.Errorf("%s: the logs are asked for with %+v", body, asked.input)
		}
	}
}

// "data": null means that the operation was executed, and that an error made its data null.
func TestWhatIsRefusedBeforeItIsExecutedHasNoData(t *testing.T) {
	limits := testLimits
	limits.MaxOperations = 1
	s := serveWithin(t, limits)
	for name, header := range map[string]map[string]string{
		"a WebSocket of another page": {"Origin": "https://evil.example", "Connection": "Upgrade", "Upgrade": "websocket",
			"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol": "graphql-transport-ws"},
		"a GET without a query": {},
	} {
		answer := s.request(t, http.MethodGet, "/graphql", "", header)
		text, err := io.ReadAll(answer.Body)
		if err != nil || !strings.HasPrefix(string(text), `{"errors":[{"message":`) || strings.Contains(string(text), `"data"`) {
			t.Errorf("%s: %s, %v", name, text, err)
		}
	}
	entered, leave := make(chan struct{}), make(chan struct{})
	s.backend.active = func() ([]*pull.State, error) {
		entered <- struct{}{}
		<-leave
		return nil, nil
	}
	answered := make(chan response, 1)
	go func() { answered <- s.post(t, "{activePulls{id}}", nil) }()
	<-entered
	if m := read(t, s.subscribe(t, "{failedPulls{id}}")); m.Type != "error" || !strings.Contains(string(m.Payload), "UNAVAILABLE") {
		t.Errorf("a query beyond the limit, over a WebSocket: %s %s", m.Type, m.Payload)
	}
	close(leave)
	<-answered
}
