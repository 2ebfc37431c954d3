package graphqlws

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"pullwatch/internal/budget"
	"pullwatch/internal/serve/transport/transporttest"
)

// recorded is a connection whose client has sent all that it will send, and keeps all that it gets.
type recorded struct {
	net.Conn // nil
	incoming io.Reader

	mu       sync.Mutex
	outgoing bytes.Buffer
}

func (c *recorded) Read(p []byte) (int, error) { return c.incoming.Read(p) }

func (c *recorded) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.outgoing.Write(p)
}
func (c *recorded) Close() error                     { return nil }
func (c *recorded) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *recorded) SetDeadline(time.Time) error      { return nil }
func (c *recorded) SetReadDeadline(time.Time) error  { return nil }
func (c *recorded) SetWriteDeadline(time.Time) error { return nil }

// fuzzed is a Transport with a budget of its own.
type fuzzed struct {
	*Transport
	memory *budget.Budget
}

const fuzzedMemory = 1 << 30

func newFuzzed(f *testing.F) *fuzzed {
	memory := budget.New(fuzzedMemory, prometheus.NewRegistry())
	transport := New(Options{MessageLimit: 4 << 10, Memory: memory})
	f.Cleanup(func() { transporttest.Drain(f, transport) })
	return &fuzzed{transport, memory}
}

// answers returns what a client gets that sends frames, after the handshake. All that the connection has taken must have
// been given back when it is over.
func (s *fuzzed) answers(t *testing.T, name string, frames io.Reader) []frame {
	conn := &recorded{incoming: frames}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for name, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
		"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Protocol": name,
	} {
		r.Header.Set(name, value)
	}
	s.Do(&hijacked{conn: conn, header: http.Header{}}, r, newScript())
	s.clients.Wait()
	if err := s.memory.Take("", budget.Requests, fuzzedMemory); err != nil {
		t.Fatalf("not all memory was given back: %v", err)
	}
	s.memory.Give("", budget.Requests, fuzzedMemory)
	_, text, ok := bytes.Cut(conn.outgoing.Bytes(), []byte("\r\n\r\n"))
	if !ok {
		t.Fatalf("the handshake failed: %q", conn.outgoing.Bytes())
	}
	return readFrames(t, text)
}

type frame struct {
	opcode  int
	payload string
}

// brokenProtocol is the code 1002.
const brokenProtocol = "\x03\xea"

// readFrames reads what a server has sent, and checks that any client can.
func readFrames(t *testing.T, text []byte) (frames []frame) {
	for len(text) > 0 {
		if len(text) < 2 || text[0]&0xF0 != finalFrame || text[1]&0x80 != 0 {
			t.Fatalf("no frame of a server: %.20q", text)
		}
		opcode, length, header := int(text[0]&0x0F), int(text[1]), 2
		switch length {
		case 126:
			length, header = int(binary.BigEndian.Uint16(text[2:])), 4
		case 127:
			length, header = int(binary.BigEndian.Uint64(text[2:])), 10
		}
		payload := string(text[header : header+length])
		text = text[header+length:]
		frames = append(frames, frame{opcode, payload})
		switch opcode {
		case websocket.TextMessage:
			if !utf8.ValidString(payload) || !json.Valid([]byte(payload)) {
				t.Fatalf("a message that is not JSON: %q", payload)
			}
		case websocket.CloseMessage:
			if len(payload) > maxReason+2 || len(payload) > 2 && !utf8.ValidString(payload[2:]) {
				t.Fatalf("a close frame: %q", payload)
			}
			// A client that violates RFC 6455 may get another close frame, from gorilla, before what is still queued.
			if strings.HasPrefix(payload, brokenProtocol) {
				return frames
			}
			if len(text) > 0 && !strings.HasPrefix(string(text[2:]), brokenProtocol) {
				t.Fatalf("behind a close frame: %q", text)
			}
		case websocket.PongMessage:
		default:
			t.Fatalf("a frame of kind %d", opcode)
		}
	}
	return frames
}

// appendClientFrame appends a frame as clients send them, masked.
func appendClientFrame(b []byte, first byte, payload []byte, mask [4]byte) []byte {
	switch n := len(payload); {
	case n < 126:
		b = append(b, first, 0x80|byte(n))
	default:
		b = append(b, first, 0x80|126, byte(n>>8), byte(n))
	}
	b = append(b, mask[:]...)
	for i, c := range payload {
		b = append(b, c^mask[i%4])
	}
	return b
}

// FuzzConnection sends whatever bytes to a connection. It has to end, with all that belongs to it, and to say nothing
// that no client can read.
func FuzzConnection(f *testing.F) {
	for _, messages := range [][]string{
		{initMessage, subscribe("1", "{one}"), subscribe("1", "wait"), subscribe("2", "updates"), `{"id":"1","type":"complete"}`},
		{initMessage, initMessage}, {subscribe("1", "{one}")}, {initMessage, subscribe("1", "panic"), `{"type":"ping","payload":{}}`},
		{initMessage, subscribe("1", "push"), subscribe("2", "field error"), subscribe("3", "invalid"), subscribe("4", "latin1")},
		{initMessage, start("1", "{one}"), start("1", "updates"), start("1", "updates"), start("2", "invalid"), start("3", "push")},
		{initMessage, start("1", "wait"), `{"id":"1","type":"stop"}`, `{"type":"connection_terminate"}`, start("1", "{one}")},
		{"\xff"}, {`{"type":"pong"}`, strings.Repeat("x", 5<<10)},
	} {
		var frames []byte
		for _, m := range messages {
			frames = appendClientFrame(frames, finalFrame|websocket.TextMessage, []byte(m), [4]byte{})
		}
		f.Add(frames, uint16(0xFFFF))
		f.Add(appendClientFrame(frames, finalFrame|websocket.CloseMessage, []byte("\x03\xe8bye"), [4]byte{}), uint16(0))
	}
	f.Add([]byte{0x89, 0x80, 0, 0, 0, 0, 0x8a, 0x80, 0, 0, 0, 0, 0x82, 0x80, 0, 0, 0, 0}, uint16(5))
	f.Add([]byte{0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, uint16(5))
	f.Add([]byte{0x01, 0x80, 0, 0, 0, 0, 0x81, 0x80, 0, 0, 0, 0}, uint16(1))
	s := newFuzzed(f)
	f.Fuzz(func(t *testing.T, frames []byte, piece uint16) {
		for _, name := range []string{Subprotocol, LegacySubprotocol} {
			s.answers(t, name, &pieces{frames, int(piece) + 1})
		}
	})
}

// pieces reads at most size bytes at once.
type pieces struct {
	text []byte
	size int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.text) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), p.size)], p.text)
	p.text = p.text[n:]
	return n, nil
}

// FuzzFragments checks that a message means the same in fragments, with pings between them, as in one piece.
func FuzzFragments(f *testing.F) {
	f.Add([]byte(`{"type":"ping","payload":{"a":"é"}}`), []byte{0, 1, 30}, uint32(1))
	f.Add([]byte(`{"type":"ping","payload":{"a":"`+strings.Repeat("a", 3<<10)+`"}}`), []byte{255, 255, 255, 255, 200}, uint32(1<<31))
	f.Add([]byte(strings.Repeat("a", 4<<10+1)), []byte{255}, uint32(0))
	f.Add([]byte(strings.Repeat(" ", 4<<10-len(initMessage))+initMessage), []byte{}, uint32(0))
	f.Add([]byte("\xff"), []byte{0}, uint32(0))
	f.Add([]byte(`{"id":"1","type":"complete"}`), []byte{27}, uint32(7))
	s := newFuzzed(f)
	f.Fuzz(func(t *testing.T, text, cuts []byte, key uint32) {
		if m, err := parseMessage(current, text); err == nil && m.kind == kindSubscribe || len(text) > 8<<10 {
			return // whether an operation answers before the connection ends is not certain
		}
		var mask [4]byte
		binary.BigEndian.PutUint32(mask[:], key)
		begin := appendClientFrame(nil, finalFrame|websocket.TextMessage, []byte(initMessage), mask)
		end := appendClientFrame(nil, finalFrame|websocket.CloseMessage, []byte("\x03\xe8"), mask)
		whole := appendClientFrame(slices.Clone(begin), finalFrame|websocket.TextMessage, text, mask)
		parts, rest := slices.Clone(begin), text
		opcode := byte(websocket.TextMessage)
		for _, n := range cuts {
			n := min(int(n), len(rest))
			parts = appendClientFrame(parts, opcode, rest[:n], mask)
			parts = appendClientFrame(parts, finalFrame|websocket.PingMessage, nil, mask)
			opcode, rest = 0, rest[n:]
		}
		parts = appendClientFrame(parts, finalFrame|opcode, rest, mask)
		want := s.answers(t, Subprotocol, bytes.NewReader(append(whole, end...)))
		got := s.answers(t, Subprotocol, bytes.NewReader(append(parts, end...)))
		got = slices.DeleteFunc(got, func(f frame) bool { return f.opcode == websocket.PongMessage })
		if !slices.Equal(got, want) {
			t.Errorf("in one piece: %v; in fragments: %v", want, got)
		}
	})
}
