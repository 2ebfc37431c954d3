package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// graphqlError is an error of the server's as GraphQL transports it.
type graphqlError struct {
	Message    string `json:"message"`
	Extensions struct {
		Code string `json:"code"`
	} `json:"extensions"`
}

func (e graphqlError) Error() string { return e.Extensions.Code + ": " + e.Message }

// codeOf returns the code of an error that the server answered with; empty for any other error.
func codeOf(err error) string {
	if e, ok := errors.AsType[graphqlError](err); ok {
		return e.Extensions.Code
	}
	return ""
}

type request struct {
	Query     string         `json:"query"`
	Variables map[string]any `json:"variables,omitempty"`
}

type response struct {
	Data       json.RawMessage `json:"data"`
	Errors     []graphqlError  `json:"errors"`
	Extensions struct {
		// Stale tells of lists that are older than they should be, by the name of their field.
		Stale map[string]struct{ AgeSeconds float64 } `json:"stale"`
	} `json:"extensions"`
}

// ask executes a query or a mutation and stores its data into data. The first GraphQL error is returned.
func (s *server) ask(ctx context.Context, query string, variables map[string]any, data any) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r, err := s.respond(ctx, query, variables)
	if err != nil {
		return err
	}
	if len(r.Errors) > 0 {
		return r.Errors[0]
	}
	return json.Unmarshal(r.Data, data)
}

// respond executes a query or a mutation and returns the whole response.
func (s *server) respond(ctx context.Context, query string, variables map[string]any) (response, error) {
	return s.respondTo(ctx, http.DefaultClient, query, variables)
}

// respondTo is respond to a client of its own.
func (s *server) respondTo(ctx context.Context, client *http.Client, query string, variables map[string]any) (response, error) {
	var r response
	body, err := json.Marshal(request{query, variables})
	if err != nil {
		return r, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.address+"/graphql", bytes.NewReader(body))
	if err != nil {
		return r, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return r, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(answer, &r); err != nil {
		return r, fmt.Errorf("HTTP %s: %w: %s", resp.Status, err, answer)
	}
	return r, nil
}

// subscription is an operation that runs over a WebSocket of its own. Events are read as they are asked for.
type subscription[T any] struct {
	conn *websocket.Conn
	// silence is how long the server may say nothing.
	silence time.Duration
}

type message struct {
	ID      string          `json:"id,omitempty"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload,omitempty"`
}

// subscribe starts a subscription whose one root field gives values of type T. It ends with the test at the latest.
func subscribe[T any](t *testing.T, s *server, query string, variables map[string]any) *subscription[T] {
	t.Helper()
	sub, err := open[T](t.Context(), s, patience, query, variables)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sub.close)
	return sub
}

// open starts a subscription on which the server is never silent for longer than given. The caller closes it.
func open[T any](ctx context.Context, s *server, silence time.Duration, query string, variables map[string]any) (*subscription[T], error) {
	payload, err := json.Marshal(request{query, variables})
	if err != nil {
		return nil, err
	}
	dialer := websocket.Dialer{Subprotocols: []string{"graphql-transport-ws"}, HandshakeTimeout: silence}
	conn, _, err := dialer.DialContext(ctx, "ws://"+s.address+"/graphql", nil)
	if err != nil {
		return nil, err
	}
	sub := &subscription[T]{conn: conn, silence: silence}
	if err := sub.begin(payload); err != nil {
		sub.close()
		return nil, err
	}
	return sub, nil
}

func (s *subscription[T]) begin(operation json.RawMessage) error {
	if err := s.conn.WriteJSON(message{Type: "connection_init"}); err != nil {
		return err
	}
	if m, err := s.receive(); err != nil || m.Type != "connection_ack" {
		return fmt.Errorf("connection_init was answered with %+v, %w", m, err)
	}
	return s.conn.WriteJSON(message{ID: "1", Type: "subscribe", Payload: operation})
}

func (s *subscription[T]) receive() (message, error) {
	var m message
	if err := s.conn.SetReadDeadline(time.Now().Add(s.silence)); err != nil {
		return m, err
	}
	return m, s.conn.ReadJSON(&m)
}

// next returns the next event; io.EOF when the server has completed the subscription, and its first error when it ended
// the subscription with one.
func (s *subscription[T]) next() (T, error) {
	var event T
	m, err := s.receive()
	if err != nil {
		return event, err
	}
	switch m.Type {
	case "complete":
		return event, io.EOF
	case "error":
		var failed []graphqlError
		if err := json.Unmarshal(m.Payload, &failed); err != nil || len(failed) == 0 {
			return event, fmt.Errorf("error message %s: %w", m.Payload, err)
		}
		return event, failed[0]
	case "next":
	default:
		return event, fmt.Errorf("unexpected message %+v", m)
	}
	var payload struct {
		Data   map[string]T   `json:"data"`
		Errors []graphqlError `json:"errors"`
	}
	if err := json.Unmarshal(m.Payload, &payload); err != nil {
		return event, fmt.Errorf("%w: %s", err, m.Payload)
	}
	if len(payload.Errors) > 0 {
		return event, payload.Errors[0]
	}
	for _, event = range payload.Data {
		return event, nil
	}
	return event, fmt.Errorf("no data in %s", m.Payload)
}

// all yields the events as they come, numbered, until the server completes the subscription.
func (s *subscription[T]) all(t *testing.T) iter.Seq2[int, T] {
	return func(yield func(int, T) bool) {
		for i := 0; ; i++ {
			event, err := s.next()
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

// until reads events up to the first one that is as wanted.
func (s *subscription[T]) until(t *testing.T, wanted string, is func(T) bool) T {
	t.Helper()
	var last []string
	for {
		event, err := s.next()
		if err != nil {
			t.Fatalf("no event that %s: %v; the last ones:\n%s", wanted, err, strings.Join(last, "\n"))
		}
		if is(event) {
			return event
		}
		last = append(last[max(0, len(last)-9):], fmt.Sprintf("%+v", event))
	}
}

// close ends the connection without a word.
func (s *subscription[T]) close() { _ = s.conn.Close() }
