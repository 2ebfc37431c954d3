package hostile

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
)

// assignmentVariable is the environment variable that makes this program an attacking process. It holds an assignment.
const assignmentVariable = "PULLWATCH_HOSTILE_JOB"

const (
	// pause is how long a refused client waits. A client with one core and hundreds of connections could not come back sooner.
	// One that did would measure its own kernel.
	pause = 100 * time.Millisecond
	// dials is how many connections a load makes at a time, for the same reason.
	dials = 64
)

// assignment says what an attacking process does.
type assignment struct {
	Load, Address string
	Clients       int
	Time          time.Duration
}

// attacker runs a load in a process of its own, at a lower priority than the server: the server's work is what is measured.
type attacker struct {
	assignment
	load    load
	dialing chan struct{}
	http    *http.Client
	socket  *websocket.Dialer

	mu     sync.Mutex
	result result
	held   int
}

// result is what came of a load.
type result struct {
	// Answers counts them by kind: a GraphQL error's code, "data", an HTTP status, a WebSocket's close code, or what became
	// of the connection.
	Answers map[string]int
	// Held is the most requests that waited at a time.
	Held int
}

// Kinds of answer that are from neither GraphQL nor HTTP.
const (
	answered = "data"
	cutOff   = "cut off" // the load ended first
	reset    = "reset"
	closed   = "closed"
	refused  = "refused"
	timeout  = "timeout"
	unread   = "never read"
	counted  = "" // a try that was not served has counted its answers itself
)

// attack does an assignment and writes its result to the standard output: at the end, and before when it has got the answer that
// it must get. It ends early when the standard input ends: then nobody reads the result.
func attack(text string) error {
	a := &attacker{dialing: make(chan struct{}, dials), result: result{Answers: map[string]int{}}}
	if err := json.Unmarshal([]byte(text), &a.assignment); err != nil {
		return err
	}
	var err error
	if a.load, err = loadNamed(a.Load); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), a.Time)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	a.http = &http.Client{Transport: &http.Transport{
		DialContext: a.dial, MaxIdleConnsPerHost: a.Clients, DisableCompression: true,
		// A larger part of a body leaves at once.
		WriteBufferSize: 64 << 10,
	}}
	a.socket = &websocket.Dialer{
		NetDialContext: a.dial, Subprotocols: []string{"graphql-transport-ws"},
		ReadBufferSize: 512, WriteBufferSize: 512, WriteBufferPool: &sync.Pool{},
	}
	var clients sync.WaitGroup
	for i := range a.Clients {
		clients.Go(func() { a.load.client(ctx, a, i) })
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		clients.Wait()
	}()
	<-ctx.Done()
	limit := time.NewTimer(patience) // no client waits that long unless the machine is too slow
	defer limit.Stop()
	select {
	case <-ended:
	case <-limit.C:
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tell()
	return nil
}

// tell writes the result as it is now. The lock must be held.
func (a *attacker) tell() {
	_ = json.NewEncoder(os.Stdout).Encode(a.result) // nobody is left to be told otherwise
}

// dial connects to the server. The connection ends with the context, and leaves nothing behind that would keep its port.
func (a *attacker) dial(ctx context.Context, network, address string) (net.Conn, error) {
	select {
	case a.dialing <- struct{}{}:
		defer func() { <-a.dialing }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	conn, err := (&net.Dialer{Timeout: patience}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	_ = conn.(*net.TCPConn).SetLinger(0) // it costs a port when it fails, no more
	return conn, nil
}

// repeat tries until the context ends, counts the answers, and waits where a try was not served.
func (a *attacker) repeat(ctx context.Context, try func() (kind string)) {
	for !over(ctx) {
		kind := try()
		if kind != counted {
			a.count(ctx, kind, 1)
		}
		if kind != answered {
			wait(ctx, pause)
		}
	}
}

// over reports whether the load has ended. Where thousands of clients wake at its end the context tells it late.
func over(ctx context.Context) bool {
	end, _ := ctx.Deadline()
	return ctx.Err() != nil || !time.Now().Before(end)
}

func (a *attacker) count(ctx context.Context, kind string, times int) {
	// What the end of the load did to connections says nothing of the server.
	if over(ctx) && (kind == reset || kind == closed || kind == timeout) {
		kind = cutOff
	}
	if times == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.result.Answers[kind] += times
	if kind == a.load.must && a.result.Answers[kind] == times {
		a.tell()
	}
}

// hold counts a request that waits, until release is called.
func (a *attacker) hold() (release func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held++
	a.result.Held = max(a.result.Held, a.held)
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.held--
	}
}

// post sends a GraphQL request and returns the first part of the answer with its kind.
func (a *attacker) post(ctx context.Context, body []byte) (first []byte, kind string) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+a.Address+"/graphql", bytes.NewReader(body))
	if err != nil {
		return nil, err.Error()
	}
	request.Header.Set("Content-Type", "application/json")
	defer a.hold()()
	response, err := a.http.Do(request)
	if err != nil {
		return nil, broken(err)
	}
	defer response.Body.Close()
	first, err = io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err == nil {
		_, err = io.Copy(io.Discard, response.Body)
	}
	if err != nil {
		return nil, broken(err)
	}
	return first, kindOf(response.StatusCode, first)
}

// rawRequest returns a request for GraphQL as it goes over the wire, with as much of the body as is given.
func rawRequest(length int, body []byte) []byte {
	return fmt.Appendf(nil, "POST /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", length, body)
}

// connect opens a WebSocket whose reads and writes end with the context, or returns the kind of its failure.
func (a *attacker) connect(ctx context.Context) (conn *websocket.Conn, kind string) {
	conn, response, err := a.socket.DialContext(ctx, "ws://"+a.Address+"/graphql", nil)
	if err != nil {
		if response != nil {
			return nil, strconv.Itoa(response.StatusCode)
		}
		return nil, broken(err)
	}
	end, _ := ctx.Deadline()
	_ = conn.NetConn().SetDeadline(end) // a connection that has failed shows that next
	return conn, ""
}

// initialize makes a WebSocket ready for operations, or returns the kind of its failure.
func (a *attacker) initialize(conn *websocket.Conn) (kind string) {
	if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"type":"connection_init"}`)); err != nil {
		return broken(err)
	}
	_, _, err := conn.ReadMessage()
	if err != nil {
		return broken(err)
	}
	return ""
}

var codePattern = regexp.MustCompile(`"code":"([A-Z_]+)"`)

// kindOf returns the kind of an answer over HTTP.
func kindOf(status int, body []byte) string {
	if found := codePattern.FindSubmatch(body[:min(len(body), 4<<10)]); found != nil && bytes.Contains(body, []byte(`"errors"`)) {
		return string(found[1])
	}
	if status == http.StatusOK {
		return answered
	}
	return strconv.Itoa(status)
}

// broken returns what became of a connection.
func broken(err error) string {
	var closing *websocket.CloseError
	var network net.Error
	switch {
	case errors.As(err, &closing) && closing.Code != websocket.CloseAbnormalClosure:
		return strconv.Itoa(closing.Code)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.Canceled): // deadlines are those of the load
		return cutOff
	case errors.Is(err, syscall.ECONNREFUSED):
		return refused
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return reset
	case errors.As(err, &network) && network.Timeout():
		return timeout
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), errors.As(err, &closing):
		return closed
	// net/http has no error to compare with for a connection that the server closed before a request went out.
	case strings.Contains(err.Error(), "server closed idle connection"), strings.Contains(err.Error(), "readLoopPeekFailLocked"):
		return closed
	}
	return err.Error()
}
