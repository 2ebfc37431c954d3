package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// serveFor serves pulls with a kind of server until the test ends, and returns its address.
func serveFor(t *testing.T, kind string, pulls int) (address string, publish func(Publication) error) {
	t.Helper()
	serve, publish, err := (&serveCommand{Kind: kind, Pulls: pulls}).server()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- serve(ctx, listener) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String(), publish
}

func TestServersAnswerAlike(t *testing.T) {
	var answers, updates []string
	for _, kind := range []string{pullwatch, gqlgen} {
		t.Run(kind, func(t *testing.T) {
			address, publish := serveFor(t, kind, 3)
			answer, err := askOnce(t.Context(), address, fullQuery)
			if err != nil || bytes.Count(answer, []byte(`"id"`)) != 3 {
				t.Errorf("%s; %v", answer, err)
			}
			answers = append(answers, string(answer))

			s := newSubscribers(address, 3)
			defer s.close()
			if err := s.open(t.Context(), opening{connections: 4, ids: 2, apart: 1}); err != nil {
				t.Fatal(err)
			}
			update := string(s.update)
			s.close()
			if err := s.open(t.Context(), opening{connections: 4, ids: 1}); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if err := s.round(t.Context(), func() error { return publish(Publication{Message: 3000}) }); err != nil {
					t.Fatal(err)
				}
				for i, took := range s.took {
					if took <= 0 {
						t.Errorf("reader %d has its update after %s", i, took)
					}
				}
			}
			_, update, ok := strings.Cut(update, `"pullJobUpdated":`)
			if !ok {
				t.Errorf("an update is %s", s.update)
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

func TestPreparedMessagesReachEachSubscriberAgainAfterAReconnect(t *testing.T) {
	p := &prepared{text: []byte(`{"payload":{"data":{"pullJobUpdated":{"id":"` + strings.Repeat("x", 200) + `"}}}}`), writers: 2}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- serveHandler(http.HandlerFunc(p.accept))(ctx, listener) }()
	s := newSubscribers(listener.Addr().String(), 1)
	for range 2 {
		if err := s.open(t.Context(), opening{connections: 3, ids: 1}); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := s.round(t.Context(), func() error { return p.publish(Publication{}) }); err != nil {
				t.Error(err)
			}
		}
		s.close()
	}
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestResponsesAreReadWholeOrInChunks(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	defer server.Close()
	go func() { _, _ = io.Copy(io.Discard, server) }() // the requests
	go func() {
		_, _ = io.WriteString(server, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole"+
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nchu\r\n3\r\nnks\r\n0\r\n\r\n"+
			"HTTP/1.1 503 Service Unavailable\r\n\r\n")
	}()
	c := &caller{client, bufio.NewReader(client)}
	for _, want := range []string{"whole", "chunks"} {
		var body bytes.Buffer
		if err := c.ask(nil, &body); err != nil || body.String() != want {
			t.Errorf("%q, want %q; %v", body.String(), want, err)
		}
	}
	if err := c.ask(nil, io.Discard); err == nil {
		t.Error("a status of 503 is no error")
	}
}

func TestServersSendTheSameLines(t *testing.T) {
	var first []string
	for _, kind := range []string{pullwatch, gqlgen, gqlgenByLine} {
		address, _ := serveFor(t, kind, 1)
		r, err := readLog(t.Context(), address, map[string]any{"namespace": "bench", "pod": "bench", "follow": false})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for r.lines == 0 {
			if err := r.next(); err != nil {
				t.Fatal(err)
			}
		}
		_, text, _ := bytes.Cut(r.text.Bytes(), []byte(`"lines":[`))
		line, _, _ := bytes.Cut(text, []byte("}"))
		first = append(first, string(line))
		if string(line) != first[0] {
			t.Errorf("the first line is %s or %s", line, first[0])
		}
	}
}

func TestWholeLogIsRead(t *testing.T) {
	address, _ := serveFor(t, pullwatch, 1)
	answers := 0
	turn := finishedLog(address, "bench", "bench", logLines)
	if err := turn(t.Context(), time.Now().Add(time.Millisecond), func(time.Duration) { answers++ }); err != nil || answers == 0 {
		t.Errorf("%d answers; %v", answers, err)
	}
}
