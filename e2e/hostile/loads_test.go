package hostile

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
)

// load is one way to make a replica do or keep far more than was sent.
type load struct {
	name string
	// short and long are how many clients there are in the two forms of the test.
	short, long int
	// fills is set where there are fewer of them if the server may not open as many files.
	fills  bool
	client func(ctx context.Context, a *attacker, client int)
	// must is an answer that the load has to get, and may are others that are right as well. A refusal for want of room is
	// always right.
	must string
	may  []string
}

// loads is a function because the loads' processes look themselves up in it.
func loads() []load {
	return []load{
		{name: "regex", short: 4, long: 40, client: regex, must: "BAD_INPUT"},
		{name: "json", short: 40, long: 400, client: bigJSON, may: []string{answered, "BAD_INPUT", "LIMIT_EXCEEDED", "413"}},
		{name: "slow-body", short: 300, long: 3000, client: slowBody, may: []string{"408"}},
		// 4408: connection_init did not come in time. 1008, 1009: the message is not allowed, or too long.
		{name: "half-message", short: 2000, long: 20_000, fills: true, client: halfMessage, may: []string{"4408", "1008", "1009"}},
		{name: "introspection", short: 16, long: 160, client: introspection, must: "LIMIT_EXCEEDED"},
		{name: "slow-reader", short: 60, long: 600, client: slowReader, may: []string{unread}},
		{name: "queue", short: 8, long: 8, client: queue, must: "LIMIT_EXCEEDED", may: []string{answered}},
		{name: "log", short: 1, long: 10, client: logFlood, must: "BAD_INPUT"},
	}
}

// noRoom are the answers of a server that has no room for a request now, and how its connection may end.
var noRoom = []string{"UNAVAILABLE", "503", "429", "1013", cutOff, reset, closed, refused, timeout}

func (l load) allows(kind string) bool {
	return kind == l.must || slices.Contains(l.may, kind) || slices.Contains(noRoom, kind)
}

func loadNamed(name string) (load, error) {
	all := loads()
	i := slices.IndexFunc(all, func(l load) bool { return l.name == name })
	if i < 0 {
		return load{}, fmt.Errorf("there is no load %q", name)
	}
	return all[i], nil
}

// expressions are of a kilobyte and come to a million instructions each.
var expressions = []string{
	"(?:" + strings.Repeat(".?", 495) + "){1000}Z",
	"(?:" + strings.Repeat("a", 1000) + "){1000}",
	"(?:" + strings.Repeat("[a-z]?", 160) + "){1000}Z",
	"(?:" + strings.Repeat(`\pL?`, 250) + "){1000}Z",
}

// regex asks for the logs of all pulls' pods with an expression that takes about 100 MB.
func regex(ctx context.Context, a *attacker, client int) {
	message := subscribeLogs(fmt.Sprint(client), map[string]any{
		"namespace": "pullwatch", "selector": "!none", "include": expressions[client%len(expressions)],
	})
	a.repeat(ctx, func() string {
		conn, kind := a.connect(ctx)
		if conn == nil {
			return kind
		}
		defer conn.Close()
		if kind := a.initialize(conn); kind != "" {
			return kind
		}
		for !over(ctx) {
			kind := exchange(conn, message)
			if kind != "BAD_INPUT" {
				return kind
			}
			a.count(ctx, kind, 1)
			wait(ctx, pause)
		}
		return cutOff
	})
}

// logFlood asks for pod logs after a cursor that no log has, 50 times at once: each is an error that could be logged.
func logFlood(ctx context.Context, a *attacker, _ int) {
	const batch = 50
	var messages [batch][]byte
	for i := range messages {
		messages[i] = subscribeLogs(fmt.Sprint(i), map[string]any{"namespace": "pullwatch", "pod": "x", "after": "zzz"})
	}
	a.repeat(ctx, func() string {
		conn, kind := a.connect(ctx)
		if conn == nil {
			return kind
		}
		defer conn.Close()
		if kind := a.initialize(conn); kind != "" {
			return kind
		}
		for !over(ctx) {
			for _, message := range messages {
				if err := conn.WriteMessage(websocket.TextMessage, message); err != nil {
					return broken(err)
				}
			}
			for range messages {
				kind := read(conn)
				if kind != "BAD_INPUT" {
					return kind
				}
				a.count(ctx, kind, 1)
			}
			wait(ctx, pause)
		}
		return cutOff
	})
}

func subscribeLogs(id string, input map[string]any) []byte {
	message, err := json.Marshal(map[string]any{"id": id, "type": "subscribe", "payload": map[string]any{
		"query":     "subscription($i:PodLogsInput!){podLogs(input:$i){lines{message}notices{kind message}cursor}}",
		"variables": map[string]any{"i": input},
	}})
	if err != nil {
		panic(err) // strings can be marshaled
	}
	return message
}

// exchange sends a message over a WebSocket and returns the kind of the answer.
func exchange(conn *websocket.Conn, message []byte) string {
	if err := conn.WriteMessage(websocket.TextMessage, message); err != nil {
		return broken(err)
	}
	return read(conn)
}

// read returns the kind of the next answer.
func read(conn *websocket.Conn) string {
	for {
		_, answer, err := conn.ReadMessage()
		if err != nil {
			return broken(err)
		}
		if found := codePattern.FindSubmatch(answer); found != nil {
			return string(found[1])
		}
		for _, kind := range []string{"next", "complete"} {
			if bytes.Contains(answer, []byte(`"type":"`+kind+`"`)) {
				return answered
			}
		}
	}
}

const mebibyte = 1 << 20

// bigJSON sends a mebibyte of the smallest values, each of which takes many times its length when it is decoded.
func bigJSON(ctx context.Context, a *attacker, client int) {
	const begin, end = `{"query":"{__typename}","variables":{"a":[`, `0]}}`
	unit := []string{`{"":0},`, `{},`, `[],`, `0,`}[client%4]
	body := []byte(begin + strings.Repeat(unit, (mebibyte-len(begin)-len(end))/len(unit)) + end)
	a.repeat(ctx, func() string {
		_, kind := a.post(ctx, body)
		return kind
	})
}

// slowBody sends a mebibyte without its last bytes, and waits.
func slowBody(ctx context.Context, a *attacker, _ int) {
	body := slowBodyRequest()
	a.repeat(ctx, func() string {
		conn, kind := a.open(ctx)
		if conn == nil {
			return kind
		}
		sending := make(chan struct{})
		go func() {
			defer close(sending)
			_, _ = conn.Write(body) // what becomes of it is read
		}()
		defer func() { <-sending }()
		defer conn.Close()
		defer a.hold()()
		return readStatus(conn)
	})
}

// slowBodyRequest is the same memory for all clients.
var slowBodyRequest = sync.OnceValue(func() []byte {
	body := append([]byte(`{"query":"{__typename}","x":"`), bytes.Repeat([]byte{'a'}, mebibyte-40)...)
	return rawRequest(mebibyte, body)
})

// halfMessage opens WebSockets and sends all but the last byte of a long message over each: before connection_init over
// one half of them, after it over the others.
func halfMessage(ctx context.Context, a *attacker, client int) {
	message := halfMessageFrame()
	a.repeat(ctx, func() string {
		conn, kind := a.connect(ctx)
		if conn == nil {
			return kind
		}
		defer conn.Close()
		if client%2 == 1 {
			if kind := a.initialize(conn); kind != "" {
				return kind
			}
		}
		// An answer to a ping would complete the message.
		conn.SetPingHandler(func(string) error { return nil })
		if _, err := conn.NetConn().Write(message); err != nil {
			return broken(err)
		}
		defer a.hold()()
		return read(conn)
	})
}

var halfMessageFrame = sync.OnceValue(func() []byte {
	text := `{"type":"ping","payload":{"a":"` + strings.Repeat("a", 65_000) + `"}}`
	// A final frame of text, masked, whose length follows in eight bytes; then the mask, which changes nothing.
	frame := []byte{0x81, 0xff, 0, 0, 0, 0, 0, 0, byte(len(text) >> 8), byte(len(text) & 0xff), 0, 0, 0, 0}
	frame = append(frame, text...)
	return frame[:len(frame)-1]
})

// introspection asks for the whole schema many times over in one document, a new one each time.
func introspection(ctx context.Context, a *attacker, client int) {
	aliases, fields := 190, "name description fields{name}"
	if client%2 == 1 {
		aliases, fields = 150, "kind name description specifiedByURL fields{name description isDeprecated deprecationReason} "+
			"enumValues{name description} inputFields{name description defaultValue} interfaces{name} possibleTypes{name}"
	}
	var all strings.Builder
	for i := range aliases {
		fmt.Fprintf(&all, " a%d:types{%s}", i, fields)
	}
	number := client * 1_000_000
	a.repeat(ctx, func() string {
		number++
		_, kind := a.post(ctx, fmt.Appendf(nil, `{"query":"{__schema{x%d:__typename%s}}"}`, number, all.String()))
		return kind
	})
}

// slowReader asks for lists several times over in one document, a new one each time, and does not read the answer.
func slowReader(ctx context.Context, a *attacker, client int) {
	var all strings.Builder
	for i := range 3 {
		fmt.Fprintf(&all, " a%d:activePulls{id image{name registry repository tag digest} destination{name} message phase "+
			"log{namespace job container} createdAt updatedAt revision progress{bytesDone}}", i)
	}
	number := client * 1_000_000
	// The pulls that other loads queue make the lists long: later answers are larger.
	holding := max(3*time.Second, a.Time/6)
	a.repeat(ctx, func() string {
		number++
		conn, kind := a.open(ctx)
		if conn == nil {
			return kind
		}
		defer conn.Close()
		body := fmt.Appendf(nil, `{"query":"{x%d:__typename%s}"}`, number, all.String())
		if err := conn.SetReadBuffer(4 << 10); err != nil {
			return broken(err)
		}
		if _, err := conn.Write(rawRequest(len(body), body)); err != nil {
			return broken(err)
		}
		defer a.hold()()
		// Its first bytes stay where they are.
		if kind := peekStatus(conn); kind != answered {
			return kind
		}
		wait(ctx, holding)
		return unread
	})
}

// queue starts pulls of 100 images at a time.
func queue(ctx context.Context, a *attacker, client int) {
	const images = 100
	calls := 0
	a.repeat(ctx, func() string {
		if calls++; calls > 1000 {
			<-ctx.Done()
			return cutOff
		}
		var names []string
		for i := range images {
			names = append(names, fmt.Sprintf("x.example/%sa%d-%d-%d:%s", strings.Repeat("p/", 100), client, calls, i, strings.Repeat("t", 120)))
		}
		body, err := json.Marshal(map[string]any{
			"query":     "mutation($i:StartPullsInput!){startPulls(input:$i){results{error{code}}}}",
			"variables": map[string]any{"i": map[string]any{"images": names}},
		})
		if err != nil {
			panic(err) // strings can be marshaled
		}
		answer, kind := a.post(ctx, body)
		if kind != answered {
			return kind
		}
		codes := codePattern.FindAllSubmatch(answer, -1)
		for _, code := range codes {
			a.count(ctx, string(code[1]), 1)
		}
		if len(codes) > 0 {
			a.count(ctx, answered, images-len(codes))
			return counted
		}
		a.count(ctx, answered, images-1)
		return answered
	})
}

// open connects without a protocol, or returns the kind of its failure. The connection ends with the context.
func (a *attacker) open(ctx context.Context) (conn *net.TCPConn, kind string) {
	opened, err := a.dial(ctx, "tcp", a.Address)
	if err != nil {
		return nil, broken(err)
	}
	end, _ := ctx.Deadline()
	_ = opened.SetDeadline(end) // a connection that has failed shows that next
	return opened.(*net.TCPConn), ""
}

// statusLine is as much of an answer as holds its status: "HTTP/1.1 200".
const statusLine = 12

// readStatus waits for the kind of an answer of which only the status counts.
func readStatus(conn net.Conn) string {
	var line [statusLine]byte
	if _, err := io.ReadFull(conn, line[:]); err != nil {
		return broken(err)
	}
	return statusKind(line)
}

// peekStatus does so and leaves the answer unread.
func peekStatus(conn *net.TCPConn) string {
	raw, err := conn.SyscallConn()
	if err != nil {
		return broken(err)
	}
	var line [statusLine]byte
	var n int
	var failed error
	err = raw.Read(func(file uintptr) bool {
		n, _, failed = syscall.Recvfrom(int(file), line[:], syscall.MSG_PEEK)
		return failed != syscall.EAGAIN
	})
	switch {
	case err != nil:
		return broken(err)
	case failed != nil:
		return broken(failed)
	case n < statusLine:
		return closed
	}
	return statusKind(line)
}

func statusKind(line [statusLine]byte) string {
	if status := string(line[statusLine-3:]); status != "200" {
		return status
	}
	return answered
}
