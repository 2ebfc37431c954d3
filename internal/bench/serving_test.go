package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// TestContendersAnswerAlike runs each server with a few clients and compares what they send.
func TestContendersAnswerAlike(t *testing.T) {
	var answers, updates []string
	for name, serveGraphQL := range map[string]func(context.Context, net.Listener, *backend) error{
		pullwatch: servePullwatch, gqlgen: serveGqlgen,
	} {
		t.Run(name, func(t *testing.T) {
			b, err := newBackend(3)
			if err != nil {
				t.Fatal(err)
			}
			control := httptest.NewServer(orders(b.publish))
			defer control.Close()
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			served := make(chan error, 1)
			go func() { served <- serveGraphQL(ctx, listener, b) }()
			defer func() {
				stop()
				if err := <-served; err != nil {
					t.Error(err)
				}
			}()
			address := listener.Addr().String()

			ask, err := askFor(fullQuery)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := ask.once(ctx, address)
			if err != nil || bytes.Count(answer, []byte(`"id"`)) != 3 {
				t.Errorf("%s; %v", answer, err)
			}
			answers = append(answers, string(answer))

			s := newSubscribers(address, control.Listener.Addr().String())
			opened, err := s.open(ctx, opening{Connections: 4, IDs: 2, Apart: 1, Pulls: 3, AtOnce: 2})
			if err != nil || !isUpdate([]byte(opened.Update)) {
				t.Fatalf("%q; %v", opened.Update, err)
			}
			if _, err := s.close(ctx, struct{}{}); err != nil {
				t.Fatal(err)
			}
			if _, err := s.open(ctx, opening{Connections: 4, IDs: 1, Pulls: 3, AtOnce: 2}); err != nil {
				t.Fatal(err)
			}
			took, err := s.updates(ctx, updating{AtLeast: 3, Each: true, Publication: publication{Message: 3000}})
			if err != nil || len(took) != 12 {
				t.Errorf("3 updates for 4 readers: %v; %v", took, err)
			}
			if _, err := s.close(ctx, struct{}{}); err != nil {
				t.Error(err)
			}
			_, update, ok := strings.Cut(opened.Update, `"pullJobUpdated":`)
			if !ok {
				t.Errorf("an update is %s", opened.Update)
			}
			updates = append(updates, update[:strings.Index(update, `"secondsLeft"`)])
		})
	}
	if len(answers) != 2 || answers[0] != answers[1] {
		t.Errorf("the answers to a query differ:\n%s", strings.Join(answers, "\n"))
	}
	if len(updates) != 2 || updates[0] != updates[1] {
		t.Errorf("the updates differ:\n%s", strings.Join(updates, "\n"))
	}
}

func TestSocketReadsWhateverItsMessagesLookLike(t *testing.T) {
	short, long := `{"a":1}`, `{"b":"`+strings.Repeat("x", 100_000)+`"}`
	ponged := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A small buffer makes gorilla send a long message in fragments.
		conn, err := (&websocket.Upgrader{WriteBufferSize: 1000}).Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		conn.SetPongHandler(func(data string) error {
			ponged <- data
			return nil
		})
		message, err := websocket.NewPreparedMessage(websocket.TextMessage, []byte(long))
		if err != nil {
			t.Error(err)
		}
		for _, send := range []func() error{
			func() error { return conn.WriteMessage(websocket.TextMessage, []byte(short)) },
			func() error { return conn.WritePreparedMessage(message) },
			func() error {
				return conn.WriteControl(websocket.PingMessage, []byte("now"), time.Now().Add(time.Minute))
			},
			func() error {
				w, err := conn.NextWriter(websocket.TextMessage)
				if err != nil {
					return err
				}
				if _, err := io.WriteString(w, long); err != nil {
					return err
				}
				return w.Close()
			},
		} {
			if err := send(); err != nil {
				t.Error(err)
			}
		}
		for err == nil {
			_, _, err = conn.NextReader()
		}
	}))
	defer server.Close()
	s, err := dialSocket(t.Context(), server.Listener.Addr().String(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	for _, want := range []string{short, long, long} {
		got, err := s.read()
		if err != nil || len(got) == 0 || !strings.HasPrefix(want, string(got)) {
			t.Errorf("read %.40q…, want %.40q…; %v", got, want, err)
		}
	}
	if data := <-ponged; data != "now" {
		t.Errorf("the ping is answered with %q", data)
	}
}

func TestAnswersAreReadWholeOrInChunks(t *testing.T) {
	in := bufio.NewReader(strings.NewReader("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole" +
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nchu\r\n3\r\nnks\r\n0\r\n\r\n" +
		"HTTP/1.1 503 Service Unavailable\r\n\r\n"))
	for _, want := range []string{"whole", "chunks"} {
		var body bytes.Buffer
		if err := readAnswer(in, &body); err != nil || body.String() != want {
			t.Errorf("%q, want %q; %v", body.String(), want, err)
		}
	}
	if err := readAnswer(in, io.Discard); err == nil {
		t.Error("a status of 503 is no error")
	}
}

func TestGridStep(t *testing.T) {
	for most, want := range map[float64]float64{15_000: 5000, 5000: 500, 270e6: 50e6, 99: 10, 1: .5} {
		if got := gridStep(most); got != want {
			t.Errorf("up to %g: %g, want %g", most, got, want)
		}
	}
}
