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
	Data   json.RawMessage `json:"data"`
	Errors []graphqlError  `json:"errors"`
}

// ask executes a query or a mutation and stores its data into data. The first GraphQL error is returned.
func (s *server) ask(ctx context.Context, query string, variables map[string]any, data any) error {
	body, err := json.Marshal(request{query, variables})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.address+"/graphql", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	var r response
	if err := json.Unmarshal(answer, &r); err != nil {
		return fmt.Errorf("HTTP %s: %w: %s", resp.Status, err, answer)
	}
	if len(r.Errors) > 0 {
		return r.Errors[0]
	}
	return json.Unmarshal(r.Data, data)
}

// subscription is an operation that runs over a WebSocket of its own. Events are read as they are asked for.
type subscription[T any] struct {
	conn *websocket.Conn
}

type message struct {
	ID      string          `json:"id,omitempty"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload,omitempty"`
}

// subscribe starts a subscription whose one root field gives values of type T. It ends with the test at the latest.
func subscribe[T any](t *testing.T, s *server, query string, variables map[string]any) *subscription[T] {
	t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{"graphql-transport-ws"}, HandshakeTimeout: patience}
	conn, _, err := dialer.DialContext(t.Context(), "ws://"+s.address+"/graphql", nil)
	if err != nil {
		t.Fatal(err)
	}
	sub := &subscription[T]{conn: conn}
	t.Cleanup(sub.close)
	if err := conn.WriteJSON(message{Type: "connection_init"}); err != nil {
		t.Fatal(err)
	}
	if m, err := sub.receive(); err != nil || m.Type != "connection_ack" {
		t.Fatalf("connection_init was answered with %+v, %v", m, err)
	}
	payload, err := json.Marshal(request{query, variables})
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.WriteJSON(message{ID: "1", Type: "subscribe", Payload: payload}); err != nil {
		t.Fatal(err)
	}
	return sub
}

func (s *subscription[T]) receive() (message, error) {
	var m message
	if err := s.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
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
