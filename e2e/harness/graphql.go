package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// Error is an error of the server's as GraphQL transports it.
type Error struct {
	Message    string `json:"message"`
	Extensions struct {
		Code string `json:"code"`
	} `json:"extensions"`
}

func (e Error) Error() string { return e.Extensions.Code + ": " + e.Message }

// CodeOf returns the code of an error that the server answered with; empty for any other error.
func CodeOf(err error) string {
	if e, ok := errors.AsType[Error](err); ok {
		return e.Extensions.Code
	}
	return ""
}

type request struct {
	Query     string         `json:"query"`
	Variables map[string]any `json:"variables,omitempty"`
}

// Response is the answer to a query or a mutation.
type Response struct {
	Data       json.RawMessage `json:"data"`
	Errors     []Error         `json:"errors"`
	Extensions struct {
		// Stale tells of lists that are older than they should be, by the name of their field.
		Stale map[string]struct{ AgeSeconds float64 } `json:"stale"`
	} `json:"extensions"`
}

// Ask executes a query or a mutation and stores its data into data. The first GraphQL error is returned.
func (s *Server) Ask(ctx context.Context, query string, variables map[string]any, data any) error {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	r, err := s.Respond(ctx, query, variables)
	if err != nil {
		return err
	}
	if len(r.Errors) > 0 {
		return r.Errors[0]
	}
	return json.Unmarshal(r.Data, data)
}

// Respond executes a query or a mutation and returns the whole response.
func (s *Server) Respond(ctx context.Context, query string, variables map[string]any) (Response, error) {
	return s.RespondTo(ctx, http.DefaultClient, query, variables)
}

// RespondTo is Respond to a client of its own.
func (s *Server) RespondTo(ctx context.Context, client *http.Client, query string, variables map[string]any) (Response, error) {
	var r Response
	body, err := json.Marshal(request{query, variables})
	if err != nil {
		return r, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.Address+"/graphql", bytes.NewReader(body))
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

// Subscription is an operation that runs over a WebSocket of its own. Events are read as they are asked for.
type Subscription[T any] struct {
	conn *websocket.Conn
	// silence is how long the server may say nothing.
	silence time.Duration
}

type message struct {
	ID      string          `json:"id,omitempty"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload,omitempty"`
}

// Open starts a subscription on which the server is never silent for longer than given. The caller closes it.
func Open[T any](ctx context.Context, s *Server, silence time.Duration, query string, variables map[string]any) (*Subscription[T], error) {
	payload, err := json.Marshal(request{query, variables})
	if err != nil {
		return nil, err
	}
	dialer := websocket.Dialer{Subprotocols: []string{"graphql-transport-ws"}, HandshakeTimeout: silence}
	conn, _, err := dialer.DialContext(ctx, "ws://"+s.Address+"/graphql", nil)
	if err != nil {
		return nil, err
	}
	sub := &Subscription[T]{conn: conn, silence: silence}
	if err := sub.begin(payload); err != nil {
		sub.Close()
		return nil, err
	}
	return sub, nil
}

func (s *Subscription[T]) begin(operation json.RawMessage) error {
	if err := s.conn.WriteJSON(message{Type: "connection_init"}); err != nil {
		return err
	}
	if m, err := s.receive(); err != nil || m.Type != "connection_ack" {
		return fmt.Errorf("connection_init was answered with %+v, %w", m, err)
	}
	return s.conn.WriteJSON(message{ID: "1", Type: "subscribe", Payload: operation})
}

func (s *Subscription[T]) receive() (message, error) {
	var m message
	if err := s.conn.SetReadDeadline(time.Now().Add(s.silence)); err != nil {
		return m, err
	}
	return m, s.conn.ReadJSON(&m)
}

// Next returns the next event; io.EOF when the server has completed the subscription, and its first error when it ended
// the subscription with one.
func (s *Subscription[T]) Next() (T, error) {
	var event T
	m, err := s.receive()
	if err != nil {
		return event, err
	}
	switch m.Type {
	case "complete":
		return event, io.EOF
	case "error":
		var failed []Error
		if err := json.Unmarshal(m.Payload, &failed); err != nil || len(failed) == 0 {
			return event, fmt.Errorf("error message %s: %w", m.Payload, err)
		}
		return event, failed[0]
	case "next":
	default:
		return event, fmt.Errorf("unexpected message %+v", m)
	}
	var payload struct {
		Data   map[string]T `json:"data"`
		Errors []Error      `json:"errors"`
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

// Close ends the connection without a word.
func (s *Subscription[T]) Close() { _ = s.conn.Close() }

// KeepAlive sends a ping at each interval until ctx is done or stop is called, which closes the connection: Next fails then,
// and once nothing, no pong either, has come from the server for the subscription's silence.
func (s *Subscription[T]) KeepAlive(ctx context.Context, interval time.Duration) (stop func()) {
	s.conn.SetPongHandler(func(string) error { return s.conn.SetReadDeadline(time.Now().Add(s.silence)) })
	ctx, cancel := context.WithCancel(ctx)
	var pinging sync.WaitGroup
	pinging.Go(func() {
		defer s.Close()
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				if s.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(interval)) != nil {
					return
				}
			}
		}
	})
	return func() {
		cancel()
		pinging.Wait()
	}
}
