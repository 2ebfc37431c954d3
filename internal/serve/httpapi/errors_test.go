package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/follow"
	"pullwatch/internal/pull"
	"pullwatch/internal/serve/executor"
	"pullwatch/internal/usererr"
)

// unusable says why logs cannot be streamed.
type unusable struct{ err error }

func (u unusable) Stream(context.Context, podlog.Input) (*follow.Stream, error) { return nil, u.err }

const podLogs = `subscription{podLogs(input: {namespace: "x", pod: "y", after: "zzz"}){cursor}}`

// stream returns all that a subscription gets over server-sent events.
func (s *served) stream(t *testing.T, query string) string {
	t.Helper()
	body, err := json.Marshal(map[string]string{"query": query})
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/graphql", strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "text/event-stream")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestMistakesOfClientsAreCountedAndNotLogged(t *testing.T) {
	for _, code := range []usererr.Code{
		usererr.BadInput, usererr.NotFound, usererr.Forbidden, usererr.Conflict, usererr.LimitExceeded,
	} {
		t.Run(string(code), func(t *testing.T) {
			s := serve(t)
			s.backend.logs = unusable{usererr.Wrap(errors.New("why"), code, "no")}
			for range 20 {
				if m := read(t, s.subscribe(t, podLogs)); m.Type != "error" && !strings.Contains(string(m.Payload), string(code)) {
					t.Fatalf("%+v", m)
				}
				if text := s.stream(t, podLogs); !strings.Contains(text, string(code)) {
					t.Fatal(text)
				}
			}
			if n := s.counters(t, "pullwatch_graphql_errors_total")[string(code)]; n != 40 {
				t.Errorf("%v errors of 40 are counted", n)
			}
			if l := s.log.all(); len(l) > 0 {
				t.Errorf("%d lines, such as %s", len(l), l[0])
			}
		})
	}
}

func TestErrorsOfTheTransportsAreCounted(t *testing.T) {
	limits := testLimits
	limits.MaxSubscriptions = 1
	s := serveWithin(t, limits)
	answer, err := http.Post(s.url+"/graphql", "application/json", strings.NewReader("{"))
	if err != nil {
		t.Fatal(err)
	}
	decode(t, answer)
	s.post(t, "{nope}", nil)
	s.backend.Publish(&pull.State{ID: "a", Phase: pull.Queued})
	conn := s.subscribe(t, "subscription{pullJobUpdated{id}}")
	read(t, conn)
	second := message{ID: "2", Type: "subscribe", Payload: json.RawMessage(`{"query":"{activePulls{id}}"}`)}
	if err := conn.WriteJSON(second); err != nil {
		t.Fatal(err)
	}
	if m := read(t, conn); m.Type != "error" {
		t.Fatalf("%+v", m)
	}
	if n := s.counters(t, "pullwatch_graphql_errors_total"); len(n) != 2 || n["BAD_INPUT"] != 2 || n["LIMIT_EXCEEDED"] != 1 {
		t.Errorf("%v", n)
	}
}

func TestFailuresAreLoggedOnceForAnOperation(t *testing.T) {
	const fields = 1000
	var bad []*pull.State
	for i := range fields {
		bad = append(bad, &pull.State{ID: strconv.Itoa(i)}) // created at no time
	}
	s := serve(t)
	s.backend.active = func() ([]*pull.State, error) { return bad, nil }
	for operations := 1; operations <= 2; operations++ {
		r := s.post(t, "{activePulls{id createdAt}}", nil)
		if len(r.Errors) != fields || r.Errors[0].Extensions.Code != "INTERNAL" {
			t.Fatalf("%d errors: %+v", len(r.Errors), r)
		}
		if l := s.log.all(); len(l) != operations || !strings.Contains(l[0], "level=ERROR") || !strings.Contains(l[0], "createdAt") {
			t.Errorf("%d lines after %d operations, such as %.200q", len(l), operations, l)
		}
	}
}

func TestEachKindOfFailureIsLogged(t *testing.T) {
	s := serve(t)
	var reads atomic.Int64
	s.backend.active = func() ([]*pull.State, error) {
		switch reads.Add(1) % 2 {
		case 0:
			return nil, usererr.Wrap(errors.New("first reason"), usererr.Unavailable, "no")
		default:
			panic("second reason")
		}
	}
	s.post(t, "{"+numbered(30, "a#: activePulls{id} ")+"}", nil)
	text := strings.Join(s.log.all(), "")
	for _, reason := range []string{"first reason", "second reason"} {
		if n := strings.Count(text, "\n"); n != 2 || !strings.Contains(text, reason) {
			t.Errorf("%d lines; want 2, one of them with %q:\n%s", n, reason, text)
		}
	}
}

func TestClientThatLeavesIsNotLoggedAsAFailure(t *testing.T) {
	var log lines
	failures := executor.NewErrors(slog.New(slog.NewTextHandler(&log, nil)), prometheus.NewRegistry())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range []error{context.Canceled, usererr.Wrap(context.Canceled, usererr.Unavailable, "no"), fmt.Errorf("read: %w", context.Canceled)} {
		failures.Present(ctx, err)
	}
	if l := log.all(); len(l) > 0 {
		t.Errorf("%q", l)
	}
	failures.Present(t.Context(), context.DeadlineExceeded)
	if l := log.all(); len(l) != 1 || !strings.Contains(l[0], "code=TIMEOUT") {
		t.Errorf("of a deadline of the server's own: %q", l)
	}
}
