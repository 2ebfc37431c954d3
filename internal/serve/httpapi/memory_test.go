package httpapi

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"pullwatch/internal/budget"
	"pullwatch/internal/pull"
)

// memory returns how many bytes are taken from the budget, by kind.
func (s *served) memory(t *testing.T) map[string]float64 {
	t.Helper()
	families, err := s.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	taken := map[string]float64{}
	for _, family := range families {
		if family.GetName() == "pullwatch_memory_budget_used_bytes" {
			for _, metric := range family.Metric {
				taken[metric.Label[0].GetValue()] = metric.GetGauge().GetValue()
			}
		}
	}
	return taken
}

// awaitMemory waits until ok accepts how many bytes are taken for a kind.
func (s *served) awaitMemory(t *testing.T, kind string, ok func(bytes float64) bool) {
	t.Helper()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for deadline := time.After(10 * time.Second); !ok(s.memory(t)[kind]); {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("%v bytes are taken for %s", s.memory(t)[kind], kind)
		}
	}
}

// connect opens a connection and writes text to it.
func (s *served) connect(t *testing.T, text string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	return conn
}

// refusedFor reads a response that refuses a request for lack of memory.
func refusedFor(t *testing.T, conn net.Conn) {
	t.Helper()
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	r := decode(t, answer)
	if answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") != "5" || len(r.Errors) != 1 ||
		r.Errors[0].Extensions.Code != "UNAVAILABLE" {
		t.Errorf("%s %v %+v", answer.Status, answer.Header, r.Errors)
	}
}

const postHeader = "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"

func TestBodiesThatDoNotComeToAnEndLeaveRoomForOthers(t *testing.T) {
	s := serveWithMemory(t, testLimits, 8<<20)
	most := fmt.Sprintf(postHeader, maxBody) + `{"query":"{__typename}","x":"` + strings.Repeat("a", maxBody-100)
	var slow []net.Conn
	for range 2 {
		slow = append(slow, s.connect(t, most))
	}
	s.awaitMemory(t, "requests", func(bytes float64) bool { return bytes >= 2*(maxBody-requestAllowance) })
	for range 3 {
		refusedFor(t, s.connect(t, most)) // although it has not come to its end
	}
	if r := s.post(t, "{activePulls{id}}", nil); len(r.Errors) > 0 {
		t.Errorf("a small request: %+v", r.Errors)
	}
	for _, conn := range slow {
		conn.Close()
	}
	s.awaitMemory(t, "requests", func(bytes float64) bool { return bytes == 0 })
	last := s.connect(t, most)
	s.awaitMemory(t, "requests", func(bytes float64) bool { return bytes >= maxBody-requestAllowance })
	last.Close()
}

func TestChunkedBodiesCountAsTheyGrow(t *testing.T) {
	s := serveWithMemory(t, testLimits, 1<<20)
	header, _, _ := strings.Cut(postHeader, "Content-Length")
	refusedFor(t, s.connect(t, header+"Transfer-Encoding: chunked\r\n\r\n80000\r\n"+strings.Repeat("a", 0x80000)))
}

func TestHeadersCountWithTheirParsedForm(t *testing.T) {
	s := serveWithMemory(t, testLimits, 400<<10)
	var lines strings.Builder
	for i := range 4000 {
		fmt.Fprintf(&lines, "%d:\r\n", i)
	}
	refused := s.connect(t, "GET /graphql HTTP/1.1\r\nHost: localhost\r\n"+lines.String())
	refusedFor(t, refused)
	refused.Close()
	s.awaitMemory(t, "connections", func(bytes float64) bool { return bytes == 0 })
	if r := s.post(t, "{activePulls{id}}", nil); len(r.Errors) > 0 {
		t.Errorf("a usual request: %+v", r.Errors)
	}
	// A connection may be used for any number of requests.
	for range 100 {
		answer := s.request(t, "GET", "/healthz", "", map[string]string{"A": strings.Repeat("a", 3000)})
		if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%s, %v", answer.Status, err)
		}
		answer.Body.Close()
	}
}

func TestClientsLearnThatThereIsNoMemoryForTheirConnection(t *testing.T) {
	s := serveWithMemory(t, testLimits, 6*connectionMemory)
	var open []net.Conn
	for range 3 {
		open = append(open, s.connect(t, ""))
	}
	s.awaitMemory(t, "connections", func(bytes float64) bool { return bytes == 3*connectionMemory })
	refused := s.connect(t, "")
	refusedFor(t, refused)
	refused.Close()
	open[0].Close()
	s.awaitMemory(t, "connections", func(bytes float64) bool { return bytes == 2*connectionMemory })
	if r := s.post(t, "{activePulls{id}}", nil); len(r.Errors) > 0 {
		t.Errorf("when there is room again: %+v", r.Errors)
	}
}

func TestWebSocketsForWhichThereIsNoMemoryAreRefused(t *testing.T) {
	s := serveWithMemory(t, testLimits, 3*connectionMemory)
	s.backend.Publish(&pull.State{ID: "a", Phase: pull.Queued})
	read(t, s.subscribe(t, followPulls))
	for range 10 {
		if _, err := s.dial(t, nil); err != nil {
			_, answer, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(s.url, "http")+"/graphql", nil)
			if err == nil || answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" {
				t.Errorf("%v, %+v", err, answer)
			}
			return
		}
	}
	t.Error("there is room for ten WebSockets")
}

func TestResponsesThatNobodyReadsCountUntilTheyAreWritten(t *testing.T) {
	s := serveWithMemory(t, testLimits, 64<<20)
	long := &pull.State{ID: "a", Phase: pull.Queued, Message: strings.Repeat("m", 1<<20)}
	s.backend.active = func() ([]*pull.State, error) {
		return []*pull.State{long, long, long, long, long, long, long, long}, nil
	}
	const query = `{"query":"{activePulls{message}}"}`
	request := fmt.Sprintf(postHeader, len(query)) + query
	first := s.connect(t, request)
	s.awaitMemory(t, "responses", func(bytes float64) bool { return bytes >= 8<<20-requestAllowance })
	second := s.connect(t, request)
	s.awaitMemory(t, "responses", func(bytes float64) bool { return bytes >= 2*(8<<20-requestAllowance) })
	third := s.connect(t, strings.Replace(request, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1))
	refusedFor(t, third)
	first.Close()
	second.Close()
	s.awaitMemory(t, "responses", func(bytes float64) bool { return bytes == 0 })
}

func TestSubscriptionsGiveBackTheirMemory(t *testing.T) {
	s := serve(t)
	s.backend.Publish(&pull.State{ID: "a", Phase: pull.Queued})
	var open []*websocket.Conn
	for range 5 {
		conn := s.subscribe(t, followPulls)
		read(t, conn)
		open = append(open, conn)
	}
	if bytes := s.memory(t)["operations"]; bytes < 5<<10 {
		t.Errorf("%v bytes are taken for 5 subscriptions", bytes)
	}
	for _, conn := range open {
		conn.Close()
	}
	s.awaitMemory(t, "operations", func(bytes float64) bool { return bytes == 0 })
	s.awaitMemory(t, "connections", func(bytes float64) bool { return bytes == 0 })
}

func TestIntrospectionCostsWhatItReturns(t *testing.T) {
	s := serve(t)
	for name, query := range map[string]string{
		"types":     "{__schema{" + numbered(190, "a#:types{name description fields{name}} ") + "}}",
		"fragments": "{__schema{" + numbered(60, "a#:types{...t} ") + "}}fragment t on __Type{fields{name args{name} type{name}} enumValues{name}}",
		"one type":  "{" + numbered(49, `a#:__type(name:"PullJob"){`+numbered(2, `b#:fields{name description type{kind name ofType{kind name ofType{kind name}}} args{name description type{name}}} `)+"} ") + "}",
	} {
		if r := s.post(t, query, nil); len(r.Errors) != 1 || r.Errors[0].Extensions.Code != "LIMIT_EXCEEDED" || !strings.Contains(r.Errors[0].Message, "complexity") {
			t.Errorf("%s: %.100s %+v", name, r.Data, r.Errors)
		}
	}
}

func TestRequestsThatShareAConnectionCountByThemselves(t *testing.T) {
	memory := budget.New(1<<20, prometheus.NewRegistry())
	server := httptest.NewUnstartedServer(countParsedHeaders(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("it came over %s", r.Proto)
		}
	})))
	server.Listener = newClientListener(server.Listener, memory, true)
	server.Config.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		return context.WithValue(ctx, connectionKey{}, conn)
	}
	server.Config.ConnState = trackState
	server.EnableHTTP2 = true
	server.StartTLS()
	client := server.Client()
	ask := func(want int) {
		t.Helper()
		answer, err := client.Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want || want != http.StatusOK && answer.Header.Get("Retry-After") == "" {
			t.Errorf("%s %v, want %d", answer.Status, answer.Header, want)
		}
	}
	ask(http.StatusOK)
	const others = 1<<20 - encryptedMemory - multiplexedMemory
	if err := memory.Take("", budget.Requests, others); err != nil {
		t.Fatal(err)
	}
	ask(http.StatusServiceUnavailable)
	memory.Give("", budget.Requests, others)
	ask(http.StatusOK)
	client.CloseIdleConnections()
	server.Close()
	if err := memory.Take("", budget.Requests, 1<<20); err != nil {
		t.Errorf("something is left: %v", err)
	}
}

func TestIntrospectionIsExecutedOnce(t *testing.T) {
	s := serve(t)
	for range 3 {
		if r := s.post(t, "query($all:Boolean){__schema{types{name fields(includeDeprecated:$all){name}}}}", map[string]any{"all": true}); len(r.Errors) > 0 {
			t.Fatalf("%+v", r.Errors)
		}
	}
	if counted := s.counters(t, "pullwatch_render_total"); counted["response/rendered"] != 1 || counted["response/hit"] != 2 {
		t.Errorf("%v", counted)
	}
}

func TestHeaderOfAWebSocketIsGivenBackOnce(t *testing.T) {
	s := serve(t)
	header := http.Header{"A": {strings.Repeat("a", 50_000)}}
	for range 5 {
		conn, err := s.dial(t, header)
		if err != nil {
			t.Fatal(err)
		}
		s.awaitMemory(t, "requests", func(bytes float64) bool { return bytes == 0 })
		conn.Close()
	}
}

// net/http reads the rest of a refused body. It must not count as a header.
func TestRestOfARefusedBodyDoesNotCountAsAHeader(t *testing.T) {
	s := serve(t)
	body := strings.Repeat("\n", 200_000)
	conn := s.connect(t, fmt.Sprintf("POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n", len(body))+body)
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || answer.StatusCode != http.StatusUnsupportedMediaType {
		t.Fatalf("%+v, %v", answer, err)
	}
	s.awaitMemory(t, "requests", func(bytes float64) bool { return bytes == 0 })
}

func TestRequestsBehindOneAnotherAreCountedOneByOne(t *testing.T) {
	s := serve(t)
	conn := s.connect(t, strings.Repeat("GET /healthz HTTP/1.1\r\nHost: localhost\r\nA: "+strings.Repeat("a", 5000)+"\r\n\r\n", 50))
	answers := bufio.NewReader(conn)
	for range 50 {
		answer, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%s, %v", answer.Status, err)
		}
	}
	s.awaitMemory(t, "requests", func(bytes float64) bool { return bytes == 0 })
}

func TestLongAliasesAreRefused(t *testing.T) {
	s := serve(t)
	for name, query := range map[string]string{
		"a field":    "{" + strings.Repeat("a", 101) + ":activePulls{id}}",
		"a fragment": "{__schema{types{fields{...f}}}} fragment f on __Field{" + strings.Repeat("a", 50_000) + ":name}",
	} {
		if r := s.post(t, query, nil); len(r.Errors) != 1 || r.Errors[0].Extensions.Code != "LIMIT_EXCEEDED" || !strings.Contains(r.Errors[0].Message, "alias") {
			t.Errorf("%s: %.100s %+v", name, r.Data, r.Errors)
		}
	}
	if r := s.post(t, "{"+strings.Repeat("a", 100)+":activePulls{id}}", nil); len(r.Errors) > 0 {
		t.Errorf("%+v", r.Errors)
	}
}

func TestBatchesOfLogsCostWhatTheyHold(t *testing.T) {
	s := serve(t)
	many := `subscription{podLogs(input:{namespace:"a",pod:"b"}){lines{` + numbered(100, "a#:message ") + `}}}`
	if m := read(t, s.subscribe(t, many)); m.Type != "error" || !strings.Contains(string(m.Payload), "LIMIT_EXCEEDED") {
		t.Errorf("%+v %s", m, m.Payload)
	}
	all := `subscription{podLogs(input:{namespace:"a",pod:"b"}){lines{pod container timestamp message truncatedBytes} notices{kind pod container message count} cursor}}`
	if m := read(t, s.subscribe(t, all)); !strings.Contains(string(m.Payload), "NOT_FOUND") {
		t.Errorf("%+v %s", m, m.Payload)
	}
}
