package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/follow"
	"pullwatch/internal/pull"
	"pullwatch/internal/usererr"
)

const followPulls = "subscription{pullJobUpdated{id}}"

// within serves a pull within limits that change makes of the defaults.
func within(t *testing.T, change func(*Limits)) *served {
	t.Helper()
	limits := testLimits
	change(&limits)
	s := serveWithin(t, limits)
	s.backend.Publish(&pull.State{ID: "a", Phase: pull.Queued})
	return s
}

func TestSubscriptionsOfAConnectionAreLimited(t *testing.T) {
	s := within(t, func(l *Limits) { l.MaxSubscriptions = 1 })
	conn := s.subscribe(t, followPulls)
	read(t, conn)
	payload, err := json.Marshal(map[string]string{"query": followPulls})
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.WriteJSON(message{ID: "2", Type: "subscribe", Payload: payload}); err != nil {
		t.Fatal(err)
	}
	if m := read(t, conn); m.Type != "error" || m.ID != "2" || !strings.Contains(string(m.Payload), "LIMIT_EXCEEDED") {
		t.Errorf("%+v: %s", m, m.Payload)
	}
}

func TestConnectionsAreLimited(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Limits)
		status int
	}{
		"in total":    {func(l *Limits) { l.MaxConnections = 1 }, http.StatusServiceUnavailable},
		"per address": {func(l *Limits) { l.MaxConnectionsPerAddress = 1 }, http.StatusTooManyRequests},
	} {
		t.Run(name, func(t *testing.T) {
			s := within(t, c.change)
			read(t, s.subscribe(t, followPulls))
			_, answer, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(s.url, "http")+"/graphql", nil)
			if err == nil || answer == nil {
				t.Fatalf("a second WebSocket: %v", err)
			}
			if r := decode(t, answer); answer.StatusCode != c.status || len(r.Errors) != 1 {
				t.Errorf("a second WebSocket: %s %+v", answer.Status, r)
			}
			open := func() *http.Response {
				return s.request(t, http.MethodPost, "/graphql", `{"query":"`+followPulls+`"}`,
					map[string]string{"Content-Type": "application/json", "Accept": "text/event-stream"})
			}
			if first := open(); first.StatusCode != http.StatusOK {
				t.Errorf("a stream: %s", first.Status)
			}
			if second := open(); second.StatusCode != c.status {
				t.Errorf("a second stream: %s", second.Status)
			}
		})
	}
}

// noPods is a source of logs of no pods, until the cluster goes away.
type noPods struct {
	podlog.Source
	away chan struct{}
}

func (s noPods) WatchPods(ctx context.Context, _ podlog.Target, deliver func(podlog.Snapshot)) error {
	deliver(podlog.Snapshot{Empty: "no pod matches"})
	select {
	case <-s.away:
		return usererr.New(usererr.Unavailable, "the cluster is away")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TestStreamsOfLogsOfACallerAreLimited checks that streams of all connections count together.
func TestStreamsOfLogsOfACallerAreLimited(t *testing.T) {
	const logs = `subscription{podLogs(input:{namespace:"a",selector:"app=b"}){notices{message}}}`
	s := serve(t)
	source := noPods{away: make(chan struct{})}
	s.backend.logs = follow.New(follow.Options{
		Source: source, Metrics: follow.NewMetrics(s.metrics), MaxCallerStreams: 1, Log: slog.New(slog.DiscardHandler),
	})
	expect := func(conn *websocket.Conn, kind, says string) {
		t.Helper()
		if m := read(t, conn); m.Type != kind || !strings.Contains(string(m.Payload), says) {
			t.Fatalf("%s %s, not %s %q", m.Type, m.Payload, kind, says)
		}
	}
	first := s.subscribe(t, logs)
	expect(first, "next", "no pod matches")
	expect(s.subscribe(t, logs), "error", "LIMIT_EXCEEDED")
	body, err := json.Marshal(map[string]string{"query": logs})
	if err != nil {
		t.Fatal(err)
	}
	events, err := io.ReadAll(s.request(t, http.MethodPost, "/graphql", string(body),
		map[string]string{"Content-Type": "application/json", "Accept": "text/event-stream"}).Body)
	if err != nil || !strings.Contains(string(events), "LIMIT_EXCEEDED") {
		t.Errorf("server-sent events: %s %v", events, err)
	}
	source.away <- struct{}{}
	expect(first, "error", "UNAVAILABLE")
	expect(s.subscribe(t, logs), "next", "no pod matches")
}

// closedWith returns the code that a WebSocket was closed with.
func closedWith(t *testing.T, conn *websocket.Conn) int {
	t.Helper()
	for {
		if _, _, err := conn.ReadMessage(); err != nil {
			closed, ok := errors.AsType[*websocket.CloseError](err)
			if !ok {
				t.Fatal(err)
			}
			return closed.Code
		}
	}
}

func TestTooLongMessageClosesItsWebSocket(t *testing.T) {
	s := within(t, func(l *Limits) { l.MaxMessage = 1 << 10 })
	conn := s.subscribe(t, followPulls)
	if err := conn.WriteMessage(websocket.TextMessage, make([]byte, 2<<10)); err != nil {
		t.Fatal(err)
	}
	if code := closedWith(t, conn); code != websocket.CloseMessageTooBig {
		t.Errorf("closed with %d", code)
	}
}

func TestClientsThatSendNoConnectionInitAreClosed(t *testing.T) {
	s := within(t, func(l *Limits) { l.InitTimeout = 10 * time.Millisecond })
	conn, err := s.dial(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	if code := closedWith(t, conn); code != 4408 {
		t.Errorf("closed with %d", code)
	}
}

func TestClientsThatDoNotAnswerPingsAreClosed(t *testing.T) {
	s := within(t, func(l *Limits) { l.PingInterval, l.PongWait = 10*time.Millisecond, 100*time.Millisecond })
	conn := s.subscribe(t, followPulls)
	conn.SetPingHandler(func(string) error { return nil })
	for {
		if _, _, err := conn.ReadMessage(); err != nil {
			return
		}
	}
}

// TestTooLongBodyIsRefusedAtOnce sends a body without a length, and then waits for the response.
func TestTooLongBodyIsRefusedAtOnce(t *testing.T) {
	body, send := io.Pipe()
	defer send.Close()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, serve(t).url+"/graphql", body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	go send.Write(make([]byte, maxBody+1000))
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusRequestEntityTooLarge || !answer.Close {
		t.Errorf("%s, close: %v", answer.Status, answer.Close)
	}
}
