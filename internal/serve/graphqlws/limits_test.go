package graphqlws

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"pullwatch/internal/serve/transport/transporttest"
)

func TestConnectionsAboveTheLimitsAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		options Options
		status  int
		message string
	}{
		"total":       {Options{MaxConnections: 2}, http.StatusServiceUnavailable, "as many connections as it takes"},
		"per address": {Options{MaxPerCaller: 2}, http.StatusTooManyRequests, "from your address"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, c.options)
			s.dial(t)
			s.dial(t)
			dialer := websocket.Dialer{Subprotocols: []string{Subprotocol}}
			_, answer, err := dialer.Dial(s.url, nil)
			if err == nil {
				t.Fatal("a third connection was accepted")
			}
			text, _ := io.ReadAll(answer.Body)
			var body struct{ Errors []struct{ Message string } }
			if json.Unmarshal(text, &body) != nil || len(body.Errors) != 1 || !strings.Contains(body.Errors[0].Message, c.message) || answer.StatusCode != c.status {
				t.Errorf("%s: %s", answer.Status, text)
			}
		})
	}
}

func TestPlaceOfAnEndedConnectionIsFree(t *testing.T) {
	bubble(t, Options{MaxPerCaller: 1}, func(t *testing.T, transport *Transport, executor *script, _ *counters) {
		conn := open(t, transport, executor)
		if status, err := transport.admit(""); err == nil {
			t.Errorf("a second connection was admitted: %d", status)
		}
		conn.Close()
		synctest.Wait()
		if _, err := transport.admit(""); err != nil {
			t.Fatal(err)
		}
		transport.release("")
	})
}

func TestOperationsAboveTheLimitAreRefused(t *testing.T) {
	s := serve(t, Options{MaxSubscriptions: 2})
	conn := s.dial(t)
	play(t, conn, strings.Join([]string{
		"> " + initMessage, "< " + ackMessage, "> " + subscribe("1", "wait"), "> " + subscribe("2", "wait"), "> " + subscribe("3", "{one}"),
		`< {"id":"3","type":"error","payload":[{"message":"this connection runs 2 operations already; complete one first","extensions":{"code":"LIMIT_EXCEEDED"}}]}`,
		`> {"id":"1","type":"complete"}`, "> " + subscribe("3", "{one}"),
		`< {"id":"3","type":"next","payload":{"data":{"one":1}}}`, `< {"id":"3","type":"complete"}`, "> bye", "< close 1000",
	}, "\n"))
}

func TestPingsComeBeforeAClientCountsAsSilent(t *testing.T) {
	for _, c := range []struct{ given, want Options }{
		{Options{}, Options{PingInterval: 54 * time.Second, PongWait: time.Minute}},
		{Options{PingInterval: 90 * time.Second}, Options{PingInterval: 90 * time.Second, PongWait: 100 * time.Second}},
		{Options{PongWait: 10 * time.Second}, Options{PingInterval: 9 * time.Second, PongWait: 10 * time.Second}},
	} {
		if got := New(c.given).options; got.PingInterval != c.want.PingInterval || got.PongWait != c.want.PongWait {
			t.Errorf("PingInterval %v, PongWait %v; want %v, %v", got.PingInterval, got.PongWait, c.want.PingInterval, c.want.PongWait)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	New(Options{PingInterval: time.Minute, PongWait: time.Minute})
}

func TestPagesOfOtherOriginsGetNoWebSocket(t *testing.T) {
	s := serve(t, Options{})
	dialer := websocket.Dialer{Subprotocols: []string{Subprotocol}}
	_, answer, err := dialer.Dial(s.url, http.Header{"Origin": {"https://evil.example"}})
	if err == nil || answer.StatusCode != http.StatusForbidden {
		t.Fatalf("%v %v", answer, err)
	}
	conn, _, err := dialer.Dial(s.url, http.Header{"Origin": {"http" + strings.TrimPrefix(s.url, "ws")}})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestObserverSeesEveryConnectionAndOperation(t *testing.T) {
	seen := &counters{}
	s := serve(t, Options{Observer: seen})
	play(t, s.dial(t), "> "+initMessage+"\n< "+ackMessage+"\n> "+subscribe("1", "{one}")+"\n"+`< {"id":"1","type":"next","payload":{"data":{"one":1}}}`+"\n"+`< {"id":"1","type":"complete"}`+"\n> bye\n< close 1000")
	transporttest.Drain(t, s.Transport)
	want := fmt.Sprintf("%+v", []any{1, 0, 1, 1, 2, 4, []CloseError{{1000, ""}}})
	if got := fmt.Sprintf("%+v", []any{seen.opened, seen.refused, seen.started, seen.ended, seen.received, seen.sent, seen.closed}); got != want {
		t.Errorf("%s; want %s", got, want)
	}
}

func TestOperationsOfAClientThatDisappearsEnd(t *testing.T) {
	seen := &counters{}
	s := serve(t, Options{Observer: seen})
	for range 20 {
		conn := s.dial(t)
		send(t, conn, initMessage, subscribe("1", "updates"))
		receive(t, conn)
		if err := conn.NetConn().(*net.TCPConn).SetLinger(0); err != nil { // a reset
			t.Fatal(err)
		}
		conn.Close()
		<-s.Ended
	}
	transporttest.Drain(t, s.Transport)
	if seen.started != seen.ended || len(seen.closed) != 20 || seen.closed[0].Code != websocket.CloseAbnormalClosure {
		t.Errorf("%d operations started, %d ended; %+v", seen.started, seen.ended, seen.closed)
	}
}

func FuzzParseMessage(f *testing.F) {
	for _, seed := range []string{initMessage, subscribe("1", "{one}"), `{"id":"1","type":"complete"}`, `{"type":"ping","payload":{"a":1}}`,
		`{"id":"1","type":"subscribe","payload":{"query":"x","variables":{"a":1e999}}}`, `{"type":"ping","payload":null}`, "[]", "\xff",
		start("1", "{one}"), `{"id":"1","type":"stop"}`, `{"type":"connection_terminate","payload":1}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, p := range []*subprotocol{current, legacy} {
			checkParseMessage(t, p, text)
		}
	})
}

func checkParseMessage(t *testing.T, p *subprotocol, text []byte) {
	m, err := parseMessage(p, text)
	if err != nil {
		refused, ok := err.(*CloseError)
		if !ok || len(refused.payload()) > maxReason+2 || refused.Reason == "" || !json.Valid(errorPayload(refused)) {
			t.Fatalf("%v", err)
		}
		return
	}
	if m.kind == kindSubscribe {
		if m.id == "" {
			t.Fatal("an empty id")
		}
		if p, err := parseSubscribe(m.payload, nil); (p == nil) == (err == nil) {
			t.Fatal("neither parameters nor an error, or both")
		}
	}
	if answer := appendMessage(nil, "pong", quote(m.id), m.payload); !json.Valid(answer) {
		t.Fatalf("%s is answered with %s", text, answer)
	}
}

// Frames have the shortest length that fits, as RFC 6455 wants it.
func FuzzFrame(f *testing.F) {
	for _, n := range []int{0, 125, 126, 65535, 65536, 100_000} {
		f.Add("before", n)
	}
	f.Fuzz(func(t *testing.T, before string, n int) {
		if n < 0 || n > 1<<20 {
			return
		}
		header := []byte{0x81, byte(n)}
		switch {
		case n > 65535:
			header = binary.BigEndian.AppendUint64([]byte{0x81, 127}, uint64(n))
		case n > 125:
			header = binary.BigEndian.AppendUint16([]byte{0x81, 126}, uint16(n))
		}
		payload := strings.Repeat("xyz", n/3+1)[:n]
		frame := appendFrame([]byte(before), websocket.TextMessage, func(b []byte) []byte { return append(b, payload...) })
		if string(frame) != before+string(header)+payload {
			t.Fatalf("%.50q", frame)
		}
	})
}

// What breaks RFC 6455 itself is gorilla's to refuse.
func TestBrokenFrameClosesTheConnection(t *testing.T) {
	seen := &counters{}
	s := serve(t, Options{Observer: seen})
	conn := s.dial(t)
	if _, err := conn.NetConn().Write([]byte{0xFF, 0x80, 0, 0, 0, 0}); err != nil {
		t.Fatal(err)
	}
	if got := closed(t, conn); got.Code != websocket.CloseProtocolError {
		t.Error(got)
	}
	s.clients.Wait()
	if len(seen.closed) != 1 || seen.closed[0].Code != websocket.CloseProtocolError {
		t.Errorf("%+v", seen.closed)
	}
}

// A message may come in many frames, with control frames in between.
func TestMessagesInFragmentsAreRead(t *testing.T) {
	s := serve(t, Options{})
	conn := s.dial(t)
	frames := []byte{}
	fragment := func(first byte, text string) {
		frames = append(frames, first, 0x80|byte(len(text)), 0, 0, 0, 0)
		frames = append(frames, text...)
	}
	fragment(0x01, `{"type":"connec`)
	fragment(0x89, "")
	fragment(0x00, `tion_init"`)
	fragment(0x80, `}`)
	if _, err := conn.NetConn().Write(frames); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, conn); got != ackMessage {
		t.Error(got)
	}
}
