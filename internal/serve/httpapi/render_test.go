package httpapi

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"pullwatch/internal/pull"
)

func TestAnUpdateIsRenderedOnceForAllClients(t *testing.T) {
	s := serve(t)
	for i, id := range []string{"a", "b"} {
		s.backend.Publish(&pull.State{ID: id, Phase: pull.Queued, Revision: pull.Revision{Cluster: uint64(i + 1)}})
	}
	const document = "subscription($ids: [ID!]) { pullJobUpdated(ids: $ids) { id phase } }"
	sockets := make([]*websocket.Conn, 3)
	for i, ids := range []string{`["a"]`, `["b","a"]`, `null`} {
		conn, err := s.dial(t, nil)
		if err != nil {
			t.Fatal(err)
		}
		sockets[i] = conn
		write(t, conn, `{"type":"connection_init"}`)
		read(t, conn)
		write(t, conn, fmt.Sprintf(`{"type":"subscribe","id":"x","payload":{"query":%q,"variables":{"ids":%s}}}`, document, ids))
	}
	answer := s.request(t, http.MethodPost, "/graphql", fmt.Sprintf(`{"query":%q}`, document),
		map[string]string{"Content-Type": "application/json", "Accept": "text/event-stream"})
	stream := bufio.NewReader(answer.Body)

	expectNext := func(first int, texts ...string) {
		t.Helper()
		for i, conn := range sockets[first:] {
			for _, text := range texts {
				if m := read(t, conn); m.Type != "next" || !strings.Contains(string(m.Payload), text) {
					t.Errorf("socket %d: %s %s; want %s", i, m.Type, m.Payload, text)
				}
			}
		}
	}
	if m := read(t, sockets[0]); !strings.Contains(string(m.Payload), `"id":"a"`) {
		t.Errorf("%s", m.Payload)
	}
	expectNext(1, `"id":"a"`, `"id":"b"`)
	readEvent(t, stream)
	readEvent(t, stream)
	s.backend.Publish(&pull.State{ID: "a", Phase: pull.Pulling, Revision: pull.Revision{Cluster: 3}})
	expectNext(0, `"phase":"PULLING"`)
	if event := readEvent(t, stream); !strings.Contains(event, `"phase":"PULLING"`) {
		t.Errorf("stream: %s", event)
	}
	// Three states, of which two were sent 1 + 2 + 2 + 2 times and one 4 times.
	if n := s.counters(t, "pullwatch_render_total"); n["update/rendered"] != 3 || n["update/hit"] != 8 {
		t.Errorf("rendered and sent: %v", n)
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	registry := prometheus.NewRegistry()
	s.backend.Register(registry)
	expected := strings.NewReader("# HELP pullwatch_update_subscriptions Subscriptions to updates of pulls that are open.\n" +
		"# TYPE pullwatch_update_subscriptions gauge\npullwatch_update_subscriptions 0\n")
	if err := testutil.GatherAndCompare(registry, expected, "pullwatch_update_subscriptions"); err != nil {
		t.Error(err)
	}
}

func write(t *testing.T, conn *websocket.Conn, text string) {
	t.Helper()
	if err := conn.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

func TestDeferIsRefused(t *testing.T) {
	answer := serve(t).post(t, "{ activePulls { id ... @defer { phase } } }", nil)
	if len(answer.Errors) != 1 || answer.Errors[0].Extensions.Code != "BAD_INPUT" {
		t.Errorf("%+v", answer)
	}
}

func TestRepeatedRequestsAreCounted(t *testing.T) {
	s := serve(t)
	for range 3 {
		if answer := s.post(t, "query Same { __typename }", nil); len(answer.Errors) > 0 {
			t.Errorf("%+v", answer)
		}
	}
	if n := s.counters(t, "pullwatch_graphql_operations_total"); n["query/Same/ok"] != 3 {
		t.Errorf("operations: %v", n)
	}
	if n := s.counters(t, "pullwatch_render_total"); n["response/rendered"] != 1 || n["response/hit"] != 2 {
		t.Errorf("responses: %v", n)
	}
	if n := s.counters(t, "pullwatch_http_responses_total"); n["200"] != 3 {
		t.Errorf("HTTP: %v", n)
	}
}
