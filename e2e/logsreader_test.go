package e2e

import (
	"context"
	"errors"
	"io"
	"maps"
	"sync"
	"testing"
)

// logReader is a client that reads a stream of logs to its end. When its connection breaks it goes on at the next
// replica, behind the last batch that it has taken.
type logReader struct {
	replicas []*server
	input    map[string]any
	ended    chan struct{}

	mu    sync.Mutex
	taken transcript
	moves int
	err   error
}

// readLogs starts a reader at the first replica. It ends with the test at the latest.
func readLogs(t *testing.T, input map[string]any, replicas ...*server) *logReader {
	r := &logReader{replicas: replicas, input: maps.Clone(input), ended: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(r.ended)
		r.run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-r.ended
	})
	return r
}

func (r *logReader) run(ctx context.Context) {
	for {
		err := r.read(ctx)
		_, refused := errors.AsType[graphqlError](err)
		r.mu.Lock()
		last := refused || errors.Is(err, io.EOF) || ctx.Err() != nil || r.moves+1 == len(r.replicas)
		if last {
			r.err = err
		} else {
			r.moves++
		}
		r.mu.Unlock()
		if last {
			return
		}
	}
}

// read reads on one connection until it breaks, or to the end of the stream, which is io.EOF.
func (r *logReader) read(ctx context.Context) error {
	sub, err := open[logBatch](ctx, r.replicas[r.moves], patience, logsQuery, map[string]any{"input": r.input})
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, sub.Close)()
	defer sub.Close()
	for {
		batch, err := sub.Next()
		if err != nil {
			return err
		}
		r.input["after"] = batch.Cursor
		r.mu.Lock()
		r.taken.add(batch)
		r.mu.Unlock()
	}
}

// transcript returns what the reader has taken so far.
func (r *logReader) transcript() transcript {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.taken
}

// over reports whether the stream has ended.
func (r *logReader) over() bool {
	select {
	case <-r.ended:
		return true
	default:
		return false
	}
}

// whole waits for the end of the stream and returns all of it. Lines that the server says are missing fail the test.
func (r *logReader) whole(t *testing.T) transcript {
	t.Helper()
	eventually(t, "the logs have been read to their end", r.over)
	if !errors.Is(r.err, io.EOF) {
		t.Fatalf("the stream of %v ended with %v", r.input, r.err)
	}
	checkNothingMissing(t, r.taken)
	return r.taken
}

func checkNothingMissing(t *testing.T, logs transcript) {
	t.Helper()
	for _, kind := range []string{"GAP", "DROPPED"} {
		for _, n := range logs.noticed(kind) {
			t.Errorf("%s: pod %s, container %s: %s", kind, text(n.Pod), text(n.Container), n.Message)
		}
	}
}

func text(s *string) string {
	if s == nil {
		return "(none)"
	}
	return *s
}
