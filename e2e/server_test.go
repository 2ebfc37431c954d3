package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
	"testing"
	"time"

	"pullwatch/e2e/harness"
)

// Short names for what harness has.

const patience = harness.Patience

type (
	proxy        = harness.Proxy
	graphqlError = harness.Error
)

// server is a replica of pullwatch, in a process of its own.
type server struct{ *harness.Server }

// launch starts a replica whose Jobs are in namespace. The flags given come after its own and win. The replica ends with the
// test.
func launch(t *testing.T, namespace string, flags ...string) *server {
	t.Helper()
	own := []string{
		"--namespace=" + namespace, "--copier-image=" + env.copier,
		"--destination=" + env.Registry + "/" + namespace, "--insecure-registry=" + env.Registry,
	}
	return &server{harness.Launch(t, env.binary, append(own, flags...)...)}
}

// startServer starts a replica as launch does and waits until it is ready.
func startServer(t *testing.T, namespace string, flags ...string) *server {
	t.Helper()
	s := launch(t, namespace, flags...)
	eventually(t, "the server is ready", func() bool { return s.Status(t, "/readyz") == http.StatusOK })
	return s
}

// subscription is an operation that runs over a WebSocket of its own. Events are read as they are asked for.
type subscription[T any] struct{ *harness.Subscription[T] }

// subscribe starts a subscription whose one root field gives values of type T. It ends with the test at the latest.
func subscribe[T any](t *testing.T, s *server, query string, variables map[string]any) *subscription[T] {
	t.Helper()
	sub, err := open[T](t.Context(), s, patience, query, variables)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sub.Close)
	return sub
}

// open starts a subscription that fails when the server is silent for longer than given. Close it.
func open[T any](ctx context.Context, s *server, silence time.Duration, query string, variables map[string]any) (*subscription[T], error) {
	sub, err := harness.Open[T](ctx, s.Server, silence, query, variables)
	if err != nil {
		return nil, err
	}
	return &subscription[T]{sub}, nil
}

// all yields the events as they come, numbered, until the server completes the subscription.
func (s *subscription[T]) all(t *testing.T) iter.Seq2[int, T] {
	return func(yield func(int, T) bool) {
		for i := 0; ; i++ {
			event, err := s.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				t.Fatalf("after %d events: %v", i, err)
			}
			if !yield(i, event) {
				return
			}
		}
	}
}

// rest returns all events up to the end of the subscription.
func (s *subscription[T]) rest(t *testing.T) []T {
	t.Helper()
	var events []T
	for _, event := range s.all(t) {
		events = append(events, event)
	}
	return events
}

// until reads events up to the first one that is as wanted, and returns it. It has to come within patience, however many others
// come.
func (s *subscription[T]) until(t *testing.T, wanted string, is func(T) bool) T {
	t.Helper()
	var last []string
	for began := time.Now(); ; {
		event, err := s.Next()
		if err == nil && time.Since(began) > patience {
			err = fmt.Errorf("others have come for %v", patience)
		}
		if err != nil {
			t.Fatalf("no event that %s: %v; the last ones:\n%s", wanted, err, strings.Join(last, "\n"))
		}
		if is(event) {
			return event
		}
		last = append(last[max(0, len(last)-9):], fmt.Sprintf("%+v", event))
	}
}

func newNamespace(t *testing.T) string {
	t.Helper()
	return env.NewNamespace(t)
}

func codeOf(err error) string { return harness.CodeOf(err) }

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	harness.Eventually(t, what, is)
}

func within(t *testing.T, limit time.Duration, is func() bool) bool {
	t.Helper()
	return harness.Within(t, limit, is)
}

func pause(t *testing.T, d time.Duration) {
	t.Helper()
	harness.Pause(t, d)
}

func freeAddress(t *testing.T, host string) string {
	t.Helper()
	return harness.FreeAddress(t, host)
}

// insecure returns the flags for registries that speak plain HTTP.
func insecure(hosts ...string) []string {
	var flags []string
	for _, host := range hosts {
		flags = append(flags, fmt.Sprintf("--insecure-registry=%s", host))
	}
	return flags
}
