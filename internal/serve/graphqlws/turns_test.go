package graphqlws

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/gorilla/websocket"

	"pullwatch/internal/serve/transport/transporttest"
)

// A client that does not read gets the last state when it reads again, not all that there were, and nobody waits for it.
func TestSlowClientGetsTheLastStateInsteadOfAll(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, transport *Transport, executor *script, seen *counters) {
		slow, quick := &state{}, &state{}
		slowConn, quickConn := openSource(t, transport, executor, slow), openSource(t, transport, executor, quick)
		for v := 1; v <= 100; v++ {
			slow.set(v)
			quick.set(v)
			if got := version(t, receive(t, quickConn)); got != v {
				t.Fatalf("got version %d, want %d", got, v)
			}
			synctest.Wait()
		}
		if seen.slow != 1 || seen.waiting == 0 {
			t.Errorf("%d bytes wait for %d connections", seen.waiting, seen.slow)
		}
		before := seen.waiting
		send(t, slowConn, `{"type":"ping"}`)
		synctest.Wait()
		const pong = `{"type":"pong"}`
		if more := seen.waiting - before; more != 2+len(pong) {
			t.Errorf("a pong makes %d more bytes wait", more)
		}
		first, second, last := receive(t, slowConn), receive(t, slowConn), receive(t, slowConn)
		if version(t, first) != 1 || second != pong || version(t, last) != 100 {
			t.Errorf("got %s, %s and %s", first, second, last)
		}
		synctest.Wait()
		if seen.slow != 0 || seen.waiting != 0 {
			t.Errorf("%d bytes wait for %d connections", seen.waiting, seen.slow)
		}
		slowConn.Close()
		quickConn.Close()
		transporttest.Drain(t, transport)
		slow.check(t)
		quick.check(t)
	})
}

// openSource opens a connection with a subscription to the source.
func openSource(t *testing.T, transport *Transport, executor *script, source Source) *websocket.Conn {
	t.Helper()
	conn := open(t, transport, executor)
	executor.source = func(context.Context) Source { return source }
	send(t, conn, subscribe("1", "push"))
	synctest.Wait()
	return conn
}

func TestSubscriptionOfASlowClientCanEnd(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *websocket.Conn){
		"complete": func(t *testing.T, conn *websocket.Conn) { send(t, conn, `{"id":"1","type":"complete"}`) },
		"close":    func(t *testing.T, conn *websocket.Conn) { conn.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, Options{}, func(t *testing.T, transport *Transport, executor *script, seen *counters) {
				source := &state{}
				conn := openSource(t, transport, executor, source)
				source.set(1)
				synctest.Wait()
				source.set(2)
				synctest.Wait()
				if got := source.seen; got != 1 {
					t.Fatalf("the source was asked for version %d", got)
				}
				end(t, conn)
				synctest.Wait()
				source.check(t)
				if seen.ended != 1 {
					t.Errorf("%d operations have ended", seen.ended)
				}
				conn.Close()
				synctest.Wait()
				if seen.slow != 0 || seen.waiting != 0 {
					t.Errorf("%d bytes wait for %d connections", seen.waiting, seen.slow)
				}
			})
		})
	}
}

// A client that never reads loses its connection after WriteTimeout.
func TestSubscriberThatNeverReadsLosesItsConnection(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, transport *Transport, executor *script, seen *counters) {
		source := &state{}
		conn := openSource(t, transport, executor, source)
		source.set(1)
		time.Sleep(11 * time.Second)
		synctest.Wait()
		source.check(t)
		if len(seen.closed) != 1 || !strings.Contains(seen.closed[0].Reason, "does not take what is sent") {
			t.Errorf("closed %+v", seen.closed)
		}
		if seen.slow != 0 || seen.waiting != 0 {
			t.Errorf("%d bytes wait for %d connections", seen.waiting, seen.slow)
		}
		conn.Close()
	})
}

// endless is a Source that always has something.
type endless struct {
	steps
	sent int
}

func (e *endless) Next() (*graphql.Response, error) {
	defer e.enter()()
	e.sent++
	return result(fmt.Sprintf(`{"version":%d,"filler":"%s"}`, e.sent, strings.Repeat("x", 1000)))
}

// A source that always has something leaves room for others, on its own connection and on others.
func TestSubscriptionWithEndlessResultsDelaysNoOther(t *testing.T) {
	s := serve(t, Options{})
	s.runner.limit = 1
	flood, sameConnection, otherConnection := &endless{}, &state{}, &state{}
	both, other := s.dial(t), s.dial(t)
	subscribeTo(t, s, both, flood)
	sameConnection.set(1)
	s.source = func(context.Context) Source { return sameConnection }
	send(t, both, subscribe("2", "push"))
	both.SetReadDeadline(time.Now().Add(20 * time.Second))
	for !strings.HasPrefix(receive(t, both), `{"id":"2"`) {
	}
	both.SetReadDeadline(time.Time{})
	var reading sync.WaitGroup
	reading.Go(func() {
		for {
			if _, _, err := both.ReadMessage(); err != nil {
				return
			}
		}
	})
	subscribeTo(t, s, other, otherConnection)
	other.SetReadDeadline(time.Now().Add(20 * time.Second))
	for v := 1; v <= 100; v++ {
		otherConnection.set(v)
		if got := version(t, receive(t, other)); got != v {
			t.Fatalf("got version %d, want %d", got, v)
		}
	}
	other.Close()
	transporttest.Drain(t, s.Transport)
	reading.Wait()
	flood.check(t)
	sameConnection.check(t)
	otherConnection.check(t)
}

// subscribeTo initialises a connection and gives it a subscription to the source.
func subscribeTo(t *testing.T, s *served, conn *websocket.Conn, source Source) {
	t.Helper()
	taken := make(chan struct{})
	s.source = func(context.Context) Source {
		close(taken)
		return source
	}
	send(t, conn, initMessage)
	receive(t, conn)
	send(t, conn, subscribe("1", "push"))
	<-taken
}

// What the kernel takes in parts arrives as a whole and in order.
func TestResultsThatTheKernelTakesInPartsArriveInOrder(t *testing.T) {
	seen := &slowness{slow: make(chan struct{}, 1)}
	s := serve(t, Options{Observer: seen})
	conn := s.dial(t)
	source := &endless{}
	subscribeTo(t, s, conn, source)
	for v := 1; v <= 20_000; v++ {
		if v%5000 == 0 {
			<-seen.slow
		}
		if got := version(t, receive(t, conn)); got != v {
			t.Fatalf("got version %d, want %d", got, v)
		}
	}
	conn.Close()
	transporttest.Drain(t, s.Transport)
	source.check(t)
	if seen.counters.slow != 0 || seen.waiting != 0 {
		t.Errorf("%d bytes wait for %d connections", seen.waiting, seen.counters.slow)
	}
}

// slowness is an Observer that has a value in slow when a client has not kept up since the last one was taken.
type slowness struct {
	counters
	slow chan struct{}
}

func (s *slowness) Waiting(connections, bytes int) {
	s.counters.Waiting(connections, bytes)
	if connections > 0 {
		select {
		case s.slow <- struct{}{}:
		default:
		}
	}
}

// With TLS nothing can be written without waiting, so goroutines do it all.
func TestSubscriptionsWorkOverTLS(t *testing.T) {
	transport, executor, source := New(Options{}), newScript(), &state{}
	executor.source = func(context.Context) Source { return source }
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		transport.Do(w, r, executor)
	}))
	defer server.Close()
	dialer := websocket.Dialer{
		Subprotocols:    []string{Subprotocol},
		TLSClientConfig: server.Client().Transport.(*http.Transport).TLSClientConfig,
	}
	conn, _, err := dialer.Dial("wss://"+server.Listener.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	source.set(1)
	send(t, conn, initMessage, subscribe("1", "push"))
	receive(t, conn)
	for v := 1; v < 100; v++ {
		if got := version(t, receive(t, conn)); got != v {
			t.Errorf("got version %d, want %d", got, v)
		}
		source.set(v + 1)
	}
	conn.Close()
	transporttest.Drain(t, transport)
	source.check(t)
}
