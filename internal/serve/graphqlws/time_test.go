package graphqlws

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"pullwatch/internal/serve/transport/transporttest"
)

// bubble runs a test in a synctest bubble, with a Transport whose connections are pipes, and drains it.
func bubble(t *testing.T, o Options, test func(*testing.T, *Transport, *script, *counters)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		seen := &counters{}
		o.Observer = seen
		transport := New(o)
		test(t, transport, newScript(), seen)
		transporttest.Drain(t, transport)
	})
}

// open opens a connection and initialises it.
func open(t *testing.T, transport *Transport, executor *script) *websocket.Conn {
	t.Helper()
	conn := pipe(t, transport, executor)
	send(t, conn, initMessage)
	if got := receive(t, conn); got != ackMessage {
		t.Fatal(got)
	}
	return conn
}

func TestClientThatSendsNoConnectionInitIsClosed(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, transport *Transport, executor *script, _ *counters) {
		begun := time.Now()
		conn := pipe(t, transport, executor)
		send(t, conn, `{"type":"ping"}`) // does not count
		if got := closed(t, conn); got.Code != CloseInitTimeout || got.Text != "Connection initialisation timeout" {
			t.Error(got)
		}
		if took := time.Since(begun); took != 10*time.Second {
			t.Errorf("after %v", took)
		}
	})
}

func TestPingsKeepAnIdleClientConnected(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, transport *Transport, executor *script, _ *counters) {
		conn := open(t, transport, executor)
		send(t, conn, subscribe("1", "updates"))
		var pings []time.Time
		answer := conn.PingHandler()
		conn.SetPingHandler(func(data string) error {
			pings = append(pings, time.Now())
			return answer(data)
		})
		begun := time.Now()
		time.AfterFunc(10*54*time.Second, func() { executor.Updates <- `"still here"` })
		if got := receive(t, conn); !strings.Contains(got, "still here") {
			t.Error(got)
		}
		if len(pings) < 10 || len(pings) > 12 {
			t.Errorf("%d pings in ten intervals", len(pings))
		}
		regular := true
		for i, at := range pings {
			if gap := at.Sub(begun); gap < 48*time.Second || gap > 54*time.Second {
				t.Errorf("ping %d after %v", i, gap)
			} else if gap != 54*time.Second {
				regular = false
			}
			begun = at
		}
		if regular {
			t.Error("pings are not jittered")
		}
		conn.Close()
	})
}

func TestClientThatVanishesIsNoticed(t *testing.T) {
	for name, reads := range map[string]bool{"does not answer": true, "does not even read": false} {
		// The write of a ping may time out before the client has been silent for too long.
		reason := map[bool]string{true: "nothing heard", false: ""}[reads]
		t.Run(name, func(t *testing.T) {
			bubble(t, Options{}, func(t *testing.T, transport *Transport, executor *script, seen *counters) {
				begun := time.Now()
				conn := open(t, transport, executor)
				send(t, conn, subscribe("1", "updates"))
				conn.SetPingHandler(func(string) error { return nil })
				if reads {
					go func() { _, _, _ = conn.ReadMessage() }()
				}
				<-executor.Ended
				if took := time.Since(begun); took > 60*time.Second {
					t.Errorf("noticed after %v", took)
				}
				synctest.Wait()
				if len(seen.closed) != 1 || seen.closed[0].Code != websocket.CloseAbnormalClosure || !strings.Contains(seen.closed[0].Reason, reason) {
					t.Errorf("%+v", seen.closed)
				}
				conn.Close()
			})
		})
	}
}

// A client that does not read loses its connection after WriteTimeout. Until then it costs a bounded queue, and nobody
// else waits for it.
func TestClientThatDoesNotReadDelaysNoOther(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, transport *Transport, executor *script, seen *counters) {
		slow, quick := open(t, transport, executor), open(t, transport, executor)
		for i := range 20 {
			send(t, slow, subscribe(fmt.Sprint(i), "large"))
		}
		send(t, quick, subscribe("1", "updates"))
		synctest.Wait()
		transport.clients.Each(func(c *connection) {
			c.mu.Lock()
			if c.queue != nil && len(c.queue.frames) > 64<<10+len(largeData)+100 {
				t.Errorf("%d bytes are queued", len(c.queue.frames))
			}
			c.mu.Unlock()
		})
		begun := time.Now()
		for range 100 {
			executor.Updates <- `"quick"`
			receive(t, quick)
		}
		if waited := time.Since(begun); waited != 0 {
			t.Errorf("another connection waited %v", waited)
		}
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if len(seen.closed) != 1 || !strings.Contains(seen.closed[0].Reason, "does not take what is sent") || seen.ended != 20 {
			t.Errorf("closed %+v, %d operations have ended", seen.closed, seen.ended)
		}
		quick.Close()
		slow.Close()
	})
}

// Whoever does not read and asks for pongs is not read from any more.
func TestFloodOfPingsTakesBoundedMemory(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, transport *Transport, executor *script, seen *counters) {
		conn := open(t, transport, executor)
		ping := `{"type":"ping","payload":{"x":"` + strings.Repeat("x", 1000) + `"}}`
		var sent int
		for ; sent < 1000; sent++ {
			if conn.WriteMessage(websocket.TextMessage, []byte(ping)) != nil {
				break
			}
		}
		if sent > 200 {
			t.Errorf("%d pings of 1 KB were taken", sent)
		}
		conn.Close()
	})
}

func TestSlowClientCanCompleteItsOperations(t *testing.T) {
	bubble(t, Options{QueueLimit: 1000}, func(t *testing.T, transport *Transport, executor *script, seen *counters) {
		conn := open(t, transport, executor)
		send(t, conn, subscribe("1", "large"), subscribe("2", "large"), subscribe("3", "large"))
		synctest.Wait()
		send(t, conn, `{"id":"1","type":"complete"}`, `{"id":"2","type":"complete"}`, `{"id":"3","type":"complete"}`, subscribe("4", "{one}"))
		for n := 0; ; n++ {
			if got := receive(t, conn); strings.Contains(got, `"4","type":"complete"`) {
				break
			}
			if n > 5 {
				t.Fatal("results go on after complete")
			}
		}
		synctest.Wait()
		if seen.ended != 4 {
			t.Errorf("%d operations have ended", seen.ended)
		}
		conn.Close()
	})
}

func TestPanicsAreReportedToASlowClient(t *testing.T) {
	bubble(t, Options{QueueLimit: 1000}, func(t *testing.T, transport *Transport, executor *script, seen *counters) {
		conn := open(t, transport, executor)
		send(t, conn, subscribe("1", "large"), subscribe("2", "large"), subscribe("3", "large"))
		synctest.Wait()
		send(t, conn, subscribe("4", "panic early"))
		synctest.Wait()
		for !strings.Contains(receive(t, conn), "recovered") {
		}
		conn.Close()
	})
}

func TestClientThatDoesNotAnswerACloseFrameIsCutOff(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, transport *Transport, executor *script, seen *counters) {
		begun := time.Now()
		conn := open(t, transport, executor)
		conn.SetCloseHandler(func(int, string) error { return nil })
		send(t, conn, "nonsense")
		if got := closed(t, conn); got.Code != CloseBadRequest {
			t.Error(got)
		}
		transport.clients.Wait()
		if took := time.Since(begun); took != 2*time.Second {
			t.Errorf("the connection ended after %v", took)
		}
		if len(seen.closed) != 1 || seen.closed[0].Code != CloseBadRequest {
			t.Errorf("%+v", seen.closed)
		}
	})
}

func TestClientsOfADrainedServerDoNotAllComeBackAtOnce(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, transport *Transport, executor *script, seen *counters) {
		const n, gap = 10, 10 * time.Millisecond / 2
		begun := time.Now()
		ends := make(chan time.Duration, n)
		for range n {
			conn := open(t, transport, executor)
			send(t, conn, subscribe("1", "updates"))
			go func() {
				if _, text, err := conn.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseServiceRestart) {
					t.Errorf("%s %v", text, err)
				}
				ends <- time.Since(begun)
			}()
		}
		if err := transport.Drain(t.Context(), n*gap); err != nil {
			t.Error(err)
		}
		for i := range n {
			if got := <-ends; got != time.Duration(i)*gap {
				t.Errorf("connection %d was closed after %v", i, got)
			}
		}
		if status, err := transport.admit("x"); status != 503 || err == nil {
			t.Errorf("a new connection gets %d %v", status, err)
		}
	})
}

func TestDrainCutsOffConnectionsThatDoNotEnd(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, transport *Transport, executor *script, seen *counters) {
		for range 3 {
			conn := open(t, transport, executor)
			send(t, conn, subscribe("1", "large"))
		}
		synctest.Wait()
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := transport.Drain(ctx, time.Minute); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if took := time.Since(begun); took != time.Second || len(seen.closed) != 3 || seen.ended != 3 {
			t.Errorf("after %v %d connections were closed and %d operations ended", took, len(seen.closed), seen.ended)
		}
	})
}
