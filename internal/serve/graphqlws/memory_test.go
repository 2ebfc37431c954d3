package graphqlws

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"pullwatch/internal/budget"
	"pullwatch/internal/serve/transport/transporttest"
)

// remembering is bubble with so many bytes of memory, of which nothing may be left in the end. All connections are of
// one client.
func remembering(t *testing.T, bytes int64, test func(*testing.T, *budget.Budget, *Transport, *script, *counters)) {
	t.Helper()
	memory := budget.New(bytes, prometheus.NewRegistry())
	o := Options{Memory: memory, Caller: func(*http.Request) string { return "client" }}
	bubble(t, o, func(t *testing.T, transport *Transport, executor *script, seen *counters) {
		test(t, memory, transport, executor, seen)
	})
	if err := memory.Take("another", budget.Requests, int(bytes/3)); err != nil {
		t.Errorf("something is left: %v", err)
	}
	if err := memory.Take("", budget.Requests, int(bytes-bytes/3)); err != nil {
		t.Errorf("something is left: %v", err)
	}
}

// beginMessage sends a long message but for its end, which it returns.
func beginMessage(t *testing.T, conn *websocket.Conn) (end func()) {
	t.Helper()
	writer, err := conn.NextWriter(websocket.TextMessage)
	if err == nil {
		_, err = fmt.Fprintf(writer, `{"type":"ping","payload":{"x":"%s`, strings.Repeat("x", 60_000))
	}
	if err != nil {
		t.Error(err)
		return func() {}
	}
	return func() {
		if _, err := writer.Write([]byte(`"}}`)); err != nil {
			t.Error(err)
		}
		if err := writer.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestMessageWaitsForMemory(t *testing.T) {
	remembering(t, 400<<10, func(t *testing.T, memory *budget.Budget, transport *Transport, executor *script, _ *counters) {
		first := open(t, transport, executor)
		endFirst := beginMessage(t, first)
		second := open(t, transport, executor)
		go func() { beginMessage(t, second)() }()
		// A short message needs no more than what its connection has.
		third := open(t, transport, executor)
		send(t, third, `{"type":"ping"}`)
		if got := receive(t, third); got != `{"type":"pong"}` {
			t.Error(got)
		}
		time.Sleep(4 * time.Second)
		go endFirst()
		for _, conn := range []*websocket.Conn{first, second} {
			if got := receive(t, conn); !strings.Contains(got, "pong") {
				t.Errorf("%.100s", got)
			}
		}
		for _, conn := range []*websocket.Conn{first, second, third} {
			conn.Close()
		}
	})
}

func TestMessageForWhichThereIsNoMemoryClosesItsConnection(t *testing.T) {
	remembering(t, 400<<10, func(t *testing.T, memory *budget.Budget, transport *Transport, executor *script, _ *counters) {
		first := pipe(t, transport, executor) // before connection_init, too
		go beginMessage(t, first)
		second := pipe(t, transport, executor)
		synctest.Wait()
		begun := time.Now()
		go func() {
			writer, err := second.NextWriter(websocket.TextMessage)
			if err == nil {
				_, _ = writer.Write([]byte(strings.Repeat("x", 60_000))) // it is not read to the end
			}
		}()
		got := closed(t, second)
		if got.Code != websocket.CloseTryAgainLater || !strings.Contains(got.Text, "memory") {
			t.Error(got)
		}
		if took := time.Since(begun); took != memoryWait {
			t.Errorf("after %v", took)
		}
		second.Close()
		first.Close()
	})
}

func TestEndOfTheServerDoesNotWaitForMemory(t *testing.T) {
	remembering(t, 400<<10, func(t *testing.T, memory *budget.Budget, transport *Transport, executor *script, _ *counters) {
		if err := memory.Take("", budget.Requests, 300<<10); err != nil {
			t.Fatal(err)
		}
		conn := pipe(t, transport, executor)
		go func() { // it is not read to its end
			if writer, err := conn.NextWriter(websocket.TextMessage); err == nil {
				_, _ = writer.Write([]byte(strings.Repeat("x", 60_000)))
			}
		}()
		synctest.Wait()
		begun := time.Now()
		go func() {
			for err := error(nil); err == nil; _, _, err = conn.ReadMessage() {
			}
		}()
		transporttest.Drain(t, transport)
		if took := time.Since(begun); took >= memoryWait {
			t.Errorf("it took %v", took)
		}
		memory.Give("", budget.Requests, 300<<10)
	})
}

func TestOperationsForWhichThereIsNoMemoryAreRefused(t *testing.T) {
	remembering(t, 100<<10, func(t *testing.T, memory *budget.Budget, transport *Transport, executor *script, _ *counters) {
		conn := open(t, transport, executor)
		for i := range 4 {
			send(t, conn, subscribe(fmt.Sprint(i), "wait"))
		}
		send(t, conn, subscribe("more", "wait"))
		if got := receive(t, conn); !strings.Contains(got, `"id":"more","type":"error"`) || !strings.Contains(got, "UNAVAILABLE") {
			t.Error(got)
		}
		send(t, conn, `{"id":"0","type":"complete"}`)
		synctest.Wait()
		send(t, conn, subscribe("more", "{one}"))
		if got := receive(t, conn); !strings.Contains(got, `"one":1`) {
			t.Error(got)
		}
		conn.Close()
	})
}

func TestVariablesThatBecomeTooMuchAreRefused(t *testing.T) {
	remembering(t, 16<<20, func(t *testing.T, memory *budget.Budget, transport *Transport, executor *script, _ *counters) {
		conn := open(t, transport, executor)
		send(t, conn, `{"id":"1","type":"subscribe","payload":{"query":"{one}","variables":{"a":[`+strings.Repeat("{},", 15_000)+`0]}}}`)
		if got := receive(t, conn); !strings.Contains(got, `"id":"1","type":"error"`) || !strings.Contains(got, "LIMIT_EXCEEDED") {
			t.Errorf("%.200s", got)
		}
		send(t, conn, subscribe("1", "{one}"))
		if got := receive(t, conn); !strings.Contains(got, `"one":1`) {
			t.Error(got)
		}
		conn.Close()
	})
}

func TestMessagesThatAClientDoesNotReadCountInTheBudget(t *testing.T) {
	remembering(t, 400<<10, func(t *testing.T, memory *budget.Budget, transport *Transport, executor *script, seen *counters) {
		slow, quick := open(t, transport, executor), open(t, transport, executor)
		// What is left is enough for an operation and its result, and not for a copy of that which waits.
		const others = 250 << 10
		if err := memory.Take("", budget.Logs, others); err != nil {
			t.Fatal(err)
		}
		send(t, slow, subscribe("1", "large"))
		synctest.Wait() // which is less than WriteTimeout
		if len(seen.closed) != 1 || !strings.Contains(seen.closed[0].Reason, "does not take what is sent") ||
			!strings.Contains(seen.closed[0].Reason, "memory") {
			t.Errorf("%+v", seen.closed)
		}
		send(t, quick, subscribe("1", "{one}"))
		if got := receive(t, quick); !strings.Contains(got, `"one":1`) {
			t.Error(got)
		}
		memory.Give("", budget.Logs, others)
		slow.Close()
		quick.Close()
	})
}
