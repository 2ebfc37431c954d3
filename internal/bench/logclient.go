package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// logSubscription asks for what a page shows of a log, and for the cursor to go on with.
const logSubscription = `subscription($input: PodLogsInput!) { podLogs(input: $input) {
	lines { pod container timestamp message } notices { kind pod container message count } cursor } }`

// logReader reads a subscription to a log.
type logReader struct {
	socket *socket
	text   []byte // of the last message
	lines  int
	bytes  int64
}

// readLog subscribes to a log over a connection of its own. The caller closes the reader.
func readLog(ctx context.Context, address string, input map[string]any) (*logReader, error) {
	s, err := dialSocket(ctx, address, 0)
	if err != nil {
		return nil, err
	}
	message, err := subscribeTo(logSubscription, map[string]any{"input": input})
	for _, text := range [][]byte{[]byte(`{"type":"connection_init"}`), message} {
		if err == nil {
			err = s.send(opcodeText, text)
		}
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	return &logReader{socket: s}, nil
}

func (r *logReader) close() { r.socket.close() }

// next reads the next message with data, which stays in r.text until the next call. It returns io.EOF at the end of the
// log.
func (r *logReader) next() (err error) {
	for {
		if r.text, err = r.socket.readWhole(r.text[:0]); err != nil {
			return err
		}
		head := r.text[:min(len(r.text), 100)] // of a message with data this has its field, with any of the servers
		switch {
		case bytes.Contains(head, []byte(`"podLogs":{`)):
			// A quote within a message is escaped.
			r.lines += bytes.Count(r.text, []byte(`"timestamp":"`))
			r.bytes += int64(len(r.text))
			return nil
		case bytes.Contains(head, []byte(`"type":"complete"`)):
			return io.EOF
		case bytes.Contains(head, []byte(`"error`)):
			return fmt.Errorf("the server answers %.500q", r.text)
		}
	}
}

// readAll reads to the end of the log, which must have so many lines.
func (r *logReader) readAll(lines int) error {
	for {
		if err := r.next(); err == io.EOF {
			break
		} else if err != nil {
			return err
		}
	}
	if r.lines != lines {
		return fmt.Errorf("the log has %d lines instead of %d", r.lines, lines)
	}
	return nil
}

// finishedLogs is a turn that reads the log of a pod to its end again and again.
func finishedLogs(address, namespace, pod string, lines int) turn {
	return oneAfterTheOther(func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, startLimit)
		defer cancel()
		r, err := readLog(ctx, address, map[string]any{"namespace": namespace, "pod": pod, "follow": false})
		if err != nil {
			return err
		}
		defer r.close()
		defer context.AfterFunc(ctx, r.close)()
		return r.readAll(lines)
	})
}

// follow reads until ctx is done, and tells the timestamp of each line as it comes.
func (r *logReader) follow(ctx context.Context, came func(written time.Time)) error {
	defer context.AfterFunc(ctx, r.close)()
	const key = `"timestamp":"`
	for {
		err := r.next()
		switch {
		case ctx.Err() != nil:
			return nil
		case err == io.EOF:
			return errors.New("the log has ended")
		case err != nil:
			return err
		}
		for text := r.text; came != nil; {
			_, rest, found := bytes.Cut(text, []byte(key))
			if !found {
				break
			}
			stamp, after, _ := bytes.Cut(rest, []byte(`"`))
			written, err := time.Parse(time.RFC3339Nano, string(stamp))
			if err != nil {
				return err
			}
			came(written)
			text = after
		}
	}
}

// readWhole reads the next text message to the end of b. It answers pings.
func (s *socket) readWhole(b []byte) ([]byte, error) {
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
		begin := len(b)
		b = slices.Grow(b, length)[:begin+length]
		if _, err := io.ReadFull(s.in, b[begin:]); err != nil || final {
			return b, err
		}
	}
}
