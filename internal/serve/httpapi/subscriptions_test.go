package httpapi

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"pullwatch/internal/pull"
)

func (s *served) dial(t *testing.T, header http.Header) (*websocket.Conn, error) {
	t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{"graphql-transport-ws"}}
	conn, answer, err := dialer.Dial("ws"+strings.TrimPrefix(s.url, "http")+"/graphql", header)
	if err != nil {
		if answer != nil {
			answer.Body.Close()
		}
		return nil, err
	}
	t.Cleanup(func() { conn.Close() })
	return conn, nil
}

type message struct {
	ID      string          `json:"id,omitempty"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload,omitempty"`
}

// subscribe opens a WebSocket with one operation.
func (s *served) subscribe(t *testing.T, query string) *websocket.Conn {
	t.Helper()
	return s.subscribeWith(t, map[string]any{"query": query})
}

func (s *served) subscribeWith(t *testing.T, parameters map[string]any) *websocket.Conn {
	t.Helper()
	conn, err := s.dial(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	payload, _ := json.Marshal(parameters)
	for _, m := range []message{{Type: "connection_init"}, {ID: "1", Type: "subscribe", Payload: payload}} {
		if err := conn.WriteJSON(m); err != nil {
			t.Fatal(err)
		}
	}
	if m := read(t, conn); m.Type != "connection_ack" {
		t.Fatalf("%+v", m)
	}
	return conn
}

func read(t *testing.T, conn *websocket.Conn) message {
	t.Helper()
	for {
		var m message
		if err := conn.ReadJSON(&m); err != nil {
			t.Fatal(err)
		}
		if m.Type != "ka" && m.Type != "ping" && m.Type != "pong" {
			return m
		}
	}
}

func TestSubscriberGetsEachStateAndTheEnd(t *testing.T) {
	s := serve(t)
	s.backend.Publish(&pull.State{ID: "a", Phase: pull.Queued})
	conn := s.subscribe(t, `subscription{pullJobUpdated(ids: ["a"]){phase}}`)
	for i, phase := range []pull.Phase{pull.Queued, pull.Pulling, pull.Succeeded} {
		if phase != pull.Queued {
			s.backend.Publish(&pull.State{ID: "a", Phase: phase, Revision: pull.Revision{Cluster: uint64(i)}})
		}
		if m := read(t, conn); m.Type != "next" || !strings.Contains(string(m.Payload), `"phase":"`+string(phase)+`"`) {
			t.Fatalf("%s %s; want %s", m.Type, m.Payload, phase)
		}
	}
	if m := read(t, conn); m.Type != "complete" {
		t.Errorf("%s %s", m.Type, m.Payload)
	}
}

func TestSubscriberGetsThePhasesThatItWants(t *testing.T) {
	s := serve(t)
	s.backend.Publish(&pull.State{ID: "over", Phase: pull.Failed})
	s.backend.Publish(&pull.State{ID: "waits", Phase: pull.Queued})
	s.backend.Publish(&pull.State{ID: "a", Phase: pull.Pulling})
	some := s.subscribe(t, `subscription{pullJobUpdated(phases: [PULLING, FAILED], history: false){id phase}}`)
	expect := func(id string, phase pull.Phase) {
		t.Helper()
		want := `{"data":{"pullJobUpdated":{"id":"` + id + `","phase":"` + string(phase) + `"}}}`
		if m := read(t, some); m.Type != "next" || string(m.Payload) != want {
			t.Errorf("%s %s; want %s", m.Type, m.Payload, want)
		}
	}
	expect("a", pull.Pulling)
	s.backend.Publish(&pull.State{ID: "waits", Phase: pull.Pending, Revision: pull.Revision{Cluster: 1}})
	s.backend.Publish(&pull.State{ID: "a", Phase: pull.Succeeded, Revision: pull.Revision{Cluster: 1}})
	expect("a", pull.Succeeded)
	s.backend.Publish(&pull.State{ID: "waits", Phase: pull.Failed, Revision: pull.Revision{Cluster: 2}})
	expect("waits", pull.Failed)
}

func TestSubscriberLearnsWhyThereIsNoSubscription(t *testing.T) {
	s := serve(t)
	for query, code := range map[string]string{
		`subscription{pullJobUpdated(ids: ["nope"]){id}}`:                                 "NOT_FOUND",
		`subscription{podLogs(input: {namespace: "x", pod: "y"}){cursor}}`:                "NOT_FOUND",
		`subscription{podLogs(input: {namespace: "x", pod: "y", since: "soon"}){cursor}}`: "BAD_INPUT",
		`subscription{nope}`:                                        "BAD_INPUT",
		`subscription{pullJobUpdated(phases: []){id}}`:              "BAD_INPUT",
		`subscription{a: pullJobUpdated{id} b: pullJobUpdated{id}}`: "BAD_INPUT",
	} {
		m := read(t, s.subscribe(t, query))
		if !strings.Contains(string(m.Payload), `"code":"`+code+`"`) {
			t.Errorf("%s: %s %s; want %s", query, m.Type, m.Payload, code)
		}
	}
}

func TestSubscriptionsEndWhenTheServerStops(t *testing.T) {
	s := serve(t)
	s.backend.Publish(&pull.State{ID: "a", Phase: pull.Queued})
	conn := s.subscribe(t, `subscription{pullJobUpdated{phase}}`)
	read(t, conn)
	go s.stop() // serve tells its error
	for {
		_, text, err := conn.ReadMessage()
		if err == nil {
			if strings.Contains(string(text), "complete") {
				t.Error("the subscription was completed: no client comes back for it")
			}
			continue
		}
		if !websocket.IsCloseError(err, websocket.CloseServiceRestart) {
			t.Errorf("closed with %v; 1012 makes clients come back, a little later each time", err)
		}
		return
	}
}
