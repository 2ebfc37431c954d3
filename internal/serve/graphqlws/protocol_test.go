package graphqlws

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/gorilla/websocket"

	"pullwatch/internal/serve/transport/transporttest"
)

// served is a Transport behind an HTTP server.
type served struct {
	*Transport
	*script
	url string
}

func serve(t testing.TB, o Options) *served {
	t.Helper()
	s := &served{Transport: New(o), script: newScript()}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.Supports(r) {
			http.Error(w, "no WebSocket", http.StatusBadRequest)
			return
		}
		s.Do(w, r, graphql.GraphExecutor(s.script))
	}))
	s.url = "ws" + strings.TrimPrefix(server.URL, "http")
	t.Cleanup(func() {
		transporttest.Drain(t, s.Transport)
		server.Close()
	})
	return s
}

func (s *served) dial(t testing.TB) *websocket.Conn { return s.dialAs(t, Subprotocol) }

// dialAs opens a WebSocket that offers these subprotocols.
func (s *served) dialAs(t testing.TB, offered ...string) *websocket.Conn {
	t.Helper()
	dialer := websocket.Dialer{Subprotocols: offered}
	conn, _, err := dialer.Dial(s.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// Each case is a rule of the protocol and an exchange that shows it: "> " is what the client sends, "< " what it gets,
// "< close " the end, which each exchange has. An exchange that ends with "> bye" ends with the client's close frame, and
// nothing else may have come by the time the server answers it.
func TestClientsGetWhatTheProtocolSays(t *testing.T) {
	const ready = "> " + initMessage + "\n< " + ackMessage + "\n"
	const bye = "\n> bye\n< close 1000"
	tooLong := `{"type":"ping","payload":{"x":"` + strings.Repeat("x", 2000) + `"}}`
	for _, c := range []struct{ rule, exchange string }{
		{"connection_init is acknowledged", ready + "> bye\n< close 1000"},
		{"connection_init may have a payload", `> {"type":"connection_init","payload":{"user":"ann"}}` + "\n" + `< {"type":"connection_ack","payload":{"hello":"ann"}}` + "\n> " + subscribe("1", "user") + "\n" + `< {"id":"1","type":"next","payload":{"data":{"user":"ann"}}}` + "\n" + `< {"id":"1","type":"complete"}` + bye},
		{"a null payload is no payload", `> {"type":"connection_init","payload":null}` + "\n< " + ackMessage + bye},
		{"connection_init's payload is an object", `> {"type":"connection_init","payload":"x"}` + "\n< close 4400 payload of connection_init is not an object"},
		{"connection_init's payload is not a list", `> {"type":"connection_init","payload":[]}` + "\n< close 4400 not an object"},
		{"connection_init comes once", ready + "> " + initMessage + "\n< close 4429 Too many initialisation requests"},
		{"a rejected connection_init closes", `> {"type":"connection_init","payload":{"user":"eve"}}` + "\n< close 4403 Forbidden"},
		{"a rejected connection_init may say why", `> {"type":"connection_init","payload":{"user":"old"}}` + "\n< close 4403 token expired"},
		{"a panic in InitFunc closes", `> {"type":"connection_init","payload":{"user":"bug"}}` + "\n< close 1011 internal error"},
		{"subscribe comes after connection_ack", "> " + subscribe("1", "{one}") + "\n< close 4401 Unauthorized"},
		{"complete before connection_ack is ignored", `> {"id":"1","type":"complete"}` + "\n" + ready + "> bye\n< close 1000"},

		{"ping is answered with pong", ready + `> {"type":"ping"}` + "\n" + `< {"type":"pong"}` + bye},
		{"pong has the ping's payload", ready + `> {"type":"ping","payload":{"a": [1]}}` + "\n" + `< {"type":"pong","payload":{"a": [1]}}` + bye},
		{"ping may come before connection_init", `> {"type":"ping"}` + "\n" + `< {"type":"pong"}` + bye},
		{"pong may come at any time", `> {"type":"pong","payload":{"a":1}}` + "\n" + ready + `> {"type":"pong"}` + bye},
		{"ping's payload is an object", ready + `> {"type":"ping","payload":1}` + "\n< close 4400 payload of ping"},

		{"an operation has results, then complete", ready + "> " + subscribe("1", "{one}") + "\n" + `< {"id":"1","type":"next","payload":{"data":{"one":1}}}` + "\n" + `< {"id":"1","type":"complete"}` + bye},
		{"an id may be any string", ready + `> {"id":"\"\u00e9<\n","type":"subscribe","payload":{"query":"{one}"}}` + "\n" + `< {"id":"\"é\u003c\n","type":"next","payload":{"data":{"one":1}}}` + "\n" + `< {"id":"\"é\u003c\n","type":"complete"}` + bye},
		{"operationName, variables and extensions arrive", ready + `> {"id":"1","type":"subscribe","payload":{"query":"echo","operationName":"n","variables":{"a":12345678901234567890},"extensions":{"b":2}}}` + "\n" + `< {"id":"1","type":"next","payload":{"data":{"extensions":{"b":2},"name":"n","variables":{"a":12345678901234567890}}}}` + "\n" + `< {"id":"1","type":"complete"}` + bye},
		{"they may be null", ready + `> {"id":"1","type":"subscribe","payload":{"query":"{one}","operationName":null,"variables":null,"extensions":null}}` + "\n" + `< {"id":"1","type":"next","payload":{"data":{"one":1}}}` + "\n" + `< {"id":"1","type":"complete"}` + bye},
		{"an id is free again after complete", ready + "> " + subscribe("1", "{one}") + "\n< {\"id\":\"1\",\"type\":\"next\",\"payload\":{\"data\":{\"one\":1}}}\n" + `< {"id":"1","type":"complete"}` + "\n> " + subscribe("1", "{one}") + "\n< {\"id\":\"1\",\"type\":\"next\",\"payload\":{\"data\":{\"one\":1}}}\n" + `< {"id":"1","type":"complete"}` + bye},
		{"an id is free again after the client's complete", ready + "> " + subscribe("1", "wait") + "\n" + `> {"id":"1","type":"complete"}` + "\n> " + subscribe("1", "{one}") + "\n" + `< {"id":"1","type":"next","payload":{"data":{"one":1}}}` + "\n" + `< {"id":"1","type":"complete"}` + bye},
		{"a running operation's id is taken", ready + "> " + subscribe("1", "wait") + "\n> " + subscribe("1", "{one}") + "\n< close 4409 Subscriber for 1 already exists"},
		{"nothing follows the client's complete", ready + "> " + subscribe("1", "last word") + "\n" + `> {"id":"1","type":"complete"}` + bye},
		{"complete of an unknown id is ignored", ready + `> {"id":"9","type":"complete"}` + bye},

		{"errors of fields travel in next", ready + "> " + subscribe("1", "field error") + "\n" + `< {"id":"1","type":"next","payload":{"errors":[{"message":"oops"}],"data":{"a":null},"extensions":{"x":1}}}` + "\n" + `< {"id":"1","type":"complete"}` + bye},
		{"null data is data", ready + "> " + subscribe("1", "null") + "\n" + `< {"id":"1","type":"next","payload":{"errors":[{"message":"oops"}],"data":null}}` + "\n" + `< {"id":"1","type":"complete"}` + bye},
		{"a request that does not validate gets error, and no complete", ready + "> " + subscribe("1", "invalid") + "\n" + `< {"id":"1","type":"error","payload":[{"message":"invalid"}]}` + bye},
		{"a request that is refused gets error, and no complete", ready + "> " + subscribe("1", "refused") + "\n" + `< {"id":"1","type":"error","payload":[{"message":"refused"}]}` + bye},
		{"a stream that fails ends with error, and no complete", ready + "> " + subscribe("1", "three, then error") + strings.Repeat("\n"+`< {"id":"1","type":"next","payload":{"data":{"n":1}}}`, 3) + "\n" + `< {"id":"1","type":"error","payload":[{"message":"lost"}]}` + bye},
		{"a panic is an error", ready + "> " + subscribe("1", "panic") + "\n" + `< {"id":"1","type":"error","payload":[{"message":"recovered"}]}` + bye},
		{"a panic before the operation is an error", ready + "> " + subscribe("1", "panic early") + "\n" + `< {"id":"1","type":"error","payload":[{"message":"recovered"}]}` + bye},
		{"an id is free again after error", ready + "> " + subscribe("1", "invalid") + "\n" + `< {"id":"1","type":"error","payload":[{"message":"invalid"}]}` + "\n> " + subscribe("1", "{one}") + "\n" + `< {"id":"1","type":"next","payload":{"data":{"one":1}}}` + "\n" + `< {"id":"1","type":"complete"}` + bye},
		{"text is UTF-8", ready + "> " + subscribe("1", "latin1") + "\n" + `< {"id":"1","type":"next","payload":{"data":{"a":"` + "\uFFFD" + `"}}}` + "\n" + `< {"id":"1","type":"complete"}` + bye},

		{"a message is JSON", ready + "> {\n< close 4400 not a JSON object"},
		{"a message is an object", ready + "> []\n< close 4400 not a JSON object"},
		{"a message is not null", ready + "> null\n< close 4400 not a JSON object"},
		{"a message is one value", ready + "> {\"type\":\"ping\"}{}\n< close 4400 not a JSON object"},
		{"a message is not empty", ready + "> \n< close 4400 not a JSON object"},
		{"a message has a type", ready + "> {\"payload\":{}}\n< close 4400 no \"type\""},
		{"a type is a string", ready + "> {\"type\":1}\n< close 4400 no \"type\""},
		{"a type is known", ready + "> {\"type\":\"start\"}\n< close 4400 \"start\""},
		{"names are in lower case", ready + "> {\"Type\":\"ping\"}\n< close 4400 no \"type\""},
		{"next is the server's", ready + `> {"id":"1","type":"next","payload":{}}` + "\n< close 4400 \"next\""},
		{"connection_ack is the server's", `> {"type":"connection_ack"}` + "\n< close 4400 \"connection_ack\""},
		{"subscribe has an id", ready + `> {"type":"subscribe","payload":{"query":"{one}"}}` + "\n< close 4400 subscribe needs an \"id\""},
		{"an id is not empty", ready + "> " + subscribe("", "{one}") + "\n< close 4400 subscribe needs an \"id\""},
		{"an id is a string", ready + `> {"id":1,"type":"subscribe","payload":{"query":"{one}"}}` + "\n< close 4400 subscribe needs an \"id\""},
		{"complete has an id", ready + `> {"type":"complete"}` + "\n< close 4400 complete needs an \"id\""},
		{"subscribe has a payload", ready + `> {"id":"1","type":"subscribe"}` + "\n< close 4400 subscribe needs a payload"},
		{"subscribe's payload is an object", ready + `> {"id":"1","type":"subscribe","payload":"{one}"}` + "\n< close 4400 payload of subscribe is not an object"},
		{"subscribe's payload has a query", ready + `> {"id":"1","type":"subscribe","payload":{}}` + "\n< close 4400 needs a \"query\""},
		{"a document that has an id needs no query", ready + `> {"id":"1","type":"subscribe","payload":{"documentId":"invalid"}}` + "\n" + `< {"id":"1","type":"error","payload":[{"message":"invalid"}]}` + bye},
		{"a query is a string", ready + `> {"id":"1","type":"subscribe","payload":{"query":{}}}` + "\n< close 4400 \"query\" is not a string"},
		{"an operationName is a string", ready + `> {"id":"1","type":"subscribe","payload":{"query":"{one}","operationName":1}}` + "\n< close 4400 \"operationName\" is not a string"},
		{"variables are an object", ready + `> {"id":"1","type":"subscribe","payload":{"query":"{one}","variables":[]}}` + "\n< close 4400 \"variables\" is not an object"},
		{"extensions are an object", ready + `> {"id":"1","type":"subscribe","payload":{"query":"{one}","extensions":"x"}}` + "\n< close 4400 \"extensions\" is not an object"},
		{"a message has at most MessageLimit bytes", ready + "> " + tooLong + "\n< close 1009 longer than 1000 bytes"},
		{"a message is text", ready + "> binary\n< close 4400 binary"},
		{"a message is UTF-8", ready + "> {\"type\":\"\xff\"}\n< close 1007 not UTF-8"},
		{"a reason fits into a close frame", ready + "> " + subscribe(strings.Repeat("é", 100), "wait") + "\n> " + subscribe(strings.Repeat("é", 100), "wait") + "\n< close 4409 Subscriber for é"},
		{"a WebSocket ping is answered", "> ping\n< pong\n" + ready + "> bye\n< close 1000"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			s := serve(t, Options{MessageLimit: 1000, InitFunc: greet})
			play(t, s.dial(t), c.exchange)
		})
	}
}

// greet is an InitFunc.
func greet(ctx context.Context, _ http.Header, payload map[string]any) (context.Context, map[string]any, error) {
	switch user := payload["user"]; user {
	case nil:
		return ctx, nil, nil
	case "eve":
		return nil, nil, errors.New("secret")
	case "old":
		return nil, nil, &CloseError{CloseForbidden, "token expired"}
	case "bug":
		panic("secret")
	default:
		return context.WithValue(ctx, userKey{}, user), map[string]any{"hello": user}, nil
	}
}

func play(t *testing.T, conn *websocket.Conn, exchange string) {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	pongs := 0
	conn.SetPongHandler(func(data string) error {
		if data != "are you there" {
			t.Errorf("pong %q", data)
		}
		pongs++
		return nil
	})
	for _, line := range strings.Split(exchange, "\n") {
		var err error
		switch text := line[2:]; {
		case line == "> bye":
			err = conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""))
		case line == "> ping":
			err = conn.WriteMessage(websocket.PingMessage, []byte("are you there"))
		case line == "> binary":
			err = conn.WriteMessage(websocket.BinaryMessage, []byte(initMessage))
		case line[0] == '>':
			err = conn.WriteMessage(websocket.TextMessage, []byte(text))
		case line == "< pong": // is read with the message after it
			defer func() {
				if pongs != 1 {
					t.Errorf("%d pongs", pongs)
				}
			}()
		case strings.HasPrefix(text, "close "):
			_, got, err := conn.ReadMessage()
			closed, ok := errors.AsType[*websocket.CloseError](err)
			if !ok {
				t.Fatalf("got %s %v; want %s", got, err, text)
			}
			code, reason, _ := strings.Cut(strings.TrimPrefix(text, "close "), " ")
			if strconv.Itoa(closed.Code) != code || !strings.Contains(closed.Text, reason) || len(closed.Text) > maxReason {
				t.Fatalf("got %v; want %s", closed, text)
			}
			if n, err := conn.NetConn().Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Fatalf("after the close frame: %d bytes, %v", n, err)
			}
		default:
			if got := receive(t, conn); got != text {
				t.Fatalf("got  %s\nwant %s", got, text)
			}
		}
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
}
