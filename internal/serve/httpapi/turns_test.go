package httpapi

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Long requests and unknown documents of one client delay no other requests.
func TestOnlyLongWorkWaitsForItsTurn(t *testing.T) {
	s := serve(t)
	const known = `{"query":"{activePulls{id}}"`
	post := func(body string) error {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/graphql", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		answer, err := http.DefaultClient.Do(r)
		if err == nil {
			answer.Body.Close()
		}
		return err
	}
	if r := s.post(t, "{activePulls{id}}", nil); len(r.Errors) > 0 {
		t.Fatalf("%+v", r.Errors)
	}
	end, err := s.turns.Take(t.Context(), "another")
	if err != nil {
		t.Fatal(err)
	}
	for what, body := range map[string]string{
		"a long request":               known + `,"x":"` + strings.Repeat("x", 10_000) + `"}`,
		"a document that is not known": `{"query":"{activePulls{phase}}` + strings.Repeat(" ", (1<<10)) + `"}`,
	} {
		if err := post(body); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s does not wait for its turn: %v", what, err)
		}
	}
	if r := s.post(t, "{activePulls{id}}", nil); len(r.Errors) > 0 { // however long it takes
		t.Errorf("a short one whose document is known: %+v", r.Errors)
	}
	end()
}
