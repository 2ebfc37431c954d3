package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/gorilla/websocket"
)

const logSubscription = `subscription($input: PodLogsInput!) { podLogs(input: $input) {
	lines { pod container timestamp message } notices { kind pod container message count } cursor } }`

// logReader reads a subscription to a log.
type logReader struct {
	*websocket.Conn
	text  bytes.Buffer // of the last message
	lines int
}

// readLog subscribes to a log. The caller closes the reader.
func readLog(ctx context.Context, address string, input map[string]any) (*logReader, error) {
	conn, err := subscribe(ctx, address, 0, logSubscription, map[string]any{"input": input})
	return &logReader{Conn: conn}, err
}

// next reads the next message with data into r.text. It returns io.EOF at the end of the log.
func (r *logReader) next() error {
	for {
		_, message, err := r.NextReader()
		r.text.Reset()
		if err == nil {
			_, err = r.text.ReadFrom(message)
		}
		if err != nil {
			return err
		}
		text := r.text.Bytes()
		switch head := text[:min(len(text), 100)]; {
		case startsWith(text, "podLogs"):
			r.lines += bytes.Count(text, []byte(timestamp))
			return nil
		case bytes.Contains(head, []byte(`"type":"complete"`)):
			return io.EOF
		case bytes.Contains(head, []byte(`"error`)):
			return fmt.Errorf("the server answers %.500q", text)
		}
	}
}

// timestamp is how the field of a line begins. Within a message the quotes are escaped.
const timestamp = `"timestamp":"`

// follow reads until ctx is done, and calls came with the timestamp of each line unless came is nil.
func (r *logReader) follow(ctx context.Context, came func(written string) error) error {
	defer context.AfterFunc(ctx, func() { _ = r.Close() })()
	for {
		err := r.next()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil: // io.EOF, too
			return fmt.Errorf("the log has ended: %w", err)
		}
		for text := r.text.Bytes(); came != nil; {
			_, rest, found := bytes.Cut(text, []byte(timestamp))
			if !found {
				break
			}
			var written []byte
			written, text, _ = bytes.Cut(rest, []byte(`"`))
			if err := came(string(written)); err != nil {
				return err
			}
		}
	}
}

// finishedLog is a turn that reads the log of a pod to its end, which must have so many lines, again and again.
func finishedLog(address, namespace, pod string, lines int) turn {
	return repeat(func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, startLimit)
		defer cancel()
		r, err := readLog(ctx, address, map[string]any{"namespace": namespace, "pod": pod, "follow": false})
		if err != nil {
			return err
		}
		defer r.Close()
		defer context.AfterFunc(ctx, func() { _ = r.Close() })()
		for err == nil {
			err = r.next()
		}
		if !errors.Is(err, io.EOF) {
			return err
		}
		if r.lines != lines {
			return fmt.Errorf("the log has %d lines instead of %d", r.lines, lines)
		}
		return nil
	})
}

// logs measures how fast logs are streamed, from memory and from pods.
func (b *bench) logs(ctx context.Context, f *findings) error {
	row := f.table("finished log", "read with", "lines a second", "CPU µs a line", "whole log: p50")
	speeds := func(log string, lines int, results []*result) {
		for _, r := range results {
			row(log, r.name, digits(r.perSecond()*float64(lines)), digits(1e6*r.cpuEach()/float64(lines)), round(r.percentile(50)))
		}
	}
	var candidates []*candidate
	for _, kind := range []string{pullwatch, gqlgen, gqlgenByLine} {
		c, err := b.contend(kind, 1)
		if err != nil {
			return err
		}
		candidates = append(candidates, c.candidate(b.turn(), finishedLog(c.address, "bench", "bench", logLines)))
	}
	results, err := b.compare(ctx, candidates...)
	if err != nil {
		return err
	}
	speeds(fmt.Sprintf("%s lines of %d bytes, from memory", thousands(logLines), logLineBytes), logLines, results)
	for i, wanted := range []float64{2, 5} {
		other := results[1+i]
		times := results[0].rateTo(other)
		f.goal("lines a second of a finished log from memory", fmt.Sprintf("%.0f times those of %s", wanted, other.name),
			hundredths(times), digits(other.perSecond()*logLines)+" lines a second", times >= wanted)
	}
	return b.podLogs(ctx, f, speeds)
}
