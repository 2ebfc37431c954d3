package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
)

// socket is a client's WebSocket that does as little as there is to do: it has the processors in common with the server.
type socket struct {
	conn net.Conn
	in   *bufio.Reader
}

const handshake = "GET /graphql HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"

// dialSocket opens a WebSocket. The system buffers receive bytes of what is not read, or as much as it likes if receive is 0.
func dialSocket(ctx context.Context, address string, receive int) (*socket, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	s := &socket{conn: conn, in: bufio.NewReaderSize(conn, 2<<10)}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if err := s.shake(address, receive); err != nil {
		s.close()
		return nil, fmt.Errorf("open a WebSocket: %w", err)
	}
	return s, nil
}

func (s *socket) shake(address string, receive int) error {
	if tcp, ok := s.conn.(*net.TCPConn); ok && receive > 0 {
		if err := tcp.SetReadBuffer(receive); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintf(s.conn, handshake, address); err != nil {
		return err
	}
	status, err := s.in.ReadString('\n')
	if err == nil && !strings.Contains(status, " 101 ") {
		err = errors.New(strings.TrimSpace(status))
	}
	for line := ""; err == nil && line != "\r\n"; {
		line, err = s.in.ReadString('\n')
	}
	return err
}

// close closes the connection without the goodbye after which the system would keep its port for a minute.
func (s *socket) close() {
	if tcp, ok := s.conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // the port is kept then
	}
	_ = s.conn.Close()
}

// The frames that matter here.
const (
	opcodeText  = 1
	opcodeClose = 8
	opcodePing  = 9
	opcodePong  = 10
	finalFrame  = 0x80
)

// send sends one frame.
func (s *socket) send(opcode byte, payload []byte) error {
	const masked = 0x80
	frame := make([]byte, 0, 8+len(payload))
	frame = append(frame, finalFrame|opcode)
	if len(payload) < 126 {
		frame = append(frame, masked|byte(len(payload)))
	} else {
		frame = binary.BigEndian.AppendUint16(append(frame, masked|126), uint16(len(payload)))
	}
	frame = append(frame, 0, 0, 0, 0) // a mask that changes nothing
	_, err := s.conn.Write(append(frame, payload...))
	return err
}

// read reads the next text message and returns it, or its beginning if it is long, until the next call. It answers pings.
func (s *socket) read() (text []byte, err error) {
	const longest = 1 << 10
	for {
		opcode, final, length, err := s.frame()
		if err != nil {
			return nil, err
		}
		if opcode == opcodePing || opcode == opcodePong || opcode == opcodeClose {
			if err := s.control(opcode, length); err != nil {
				return nil, err
			}
			continue
		}
		if opcode == opcodeText {
			if text, err = s.in.Peek(min(length, longest)); err != nil {
				return nil, err
			}
			if !final || length > longest {
				text = bytes.Clone(text) // to read on overwrites it
			}
		}
		if _, err := s.in.Discard(length); err != nil || final {
			return text, err
		}
	}
}

// frame reads what stands before the payload of a frame.
func (s *socket) frame() (opcode byte, final bool, length int, err error) {
	var head [8]byte
	if _, err := io.ReadFull(s.in, head[:2]); err != nil {
		return 0, false, 0, err
	}
	opcode, final, length = head[0]&0xf, head[0]&finalFrame != 0, int(head[1])
	switch length {
	case 126:
		_, err = io.ReadFull(s.in, head[:2])
		length = int(binary.BigEndian.Uint16(head[:2]))
	case 127:
		_, err = io.ReadFull(s.in, head[:8])
		length = int(binary.BigEndian.Uint64(head[:8]))
	}
	return opcode, final, length, err
}

func (s *socket) control(opcode byte, length int) error {
	payload := make([]byte, length)
	if _, err := io.ReadFull(s.in, payload); err != nil {
		return err
	}
	switch opcode {
	case opcodePing:
		return s.send(opcodePong, payload)
	case opcodeClose:
		return fmt.Errorf("the server closed: %q", payload)
	}
	return nil
}
