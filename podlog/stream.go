package podlog

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"
)

// Streamer starts streams of logs.
type Streamer struct {
	source Source
	logger *slog.Logger
}

// New returns a Streamer that reads from source. The logger is told, at debug level, what callers need not know.
func New(source Source, logger *slog.Logger) *Streamer {
	return &Streamer{source: source, logger: logger}
}

// Stream is a running stream of logs. Next must not be called by two goroutines at once.
type Stream struct {
	source Source
	plan   *plan
	logger *slog.Logger

	// ctx is that of the followers. The watch has one below it, which stopWatch ends when the stream is complete.
	ctx       context.Context
	cancel    context.CancelFunc
	stopWatch context.CancelFunc
	started   chan struct{}
	done      chan struct{}
	followers sync.WaitGroup
	// chunks is closed when the stream has ended.
	chunks chan chunk
	batcher

	mu  sync.Mutex
	err error
}

// Stream checks in, waits until it is known what there is to stream, and starts. Its errors are a usererr.Error
// (BAD_INPUT, NOT_FOUND, FORBIDDEN, LIMIT_EXCEEDED, UNAVAILABLE), ctx's, or internal. The stream ends when ctx does;
// the caller calls Close in any case.
func (s *Streamer) Stream(ctx context.Context, in Input) (*Stream, error) {
	plan, err := newPlan(in)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	watchCtx, stopWatch := context.WithCancel(ctx)
	chunks := make(chan chunk, queuedChunks)
	st := &Stream{
		source:    s.source,
		plan:      plan,
		logger:    s.logger.With("namespace", plan.target.Namespace),
		ctx:       ctx,
		cancel:    cancel,
		stopWatch: stopWatch,
		started:   make(chan struct{}),
		done:      make(chan struct{}),
		chunks:    chunks,
		batcher:   batcher{chunks: chunks, marks: map[sourceKey]mark{}},
	}
	go st.run(watchCtx)
	select {
	case <-st.started:
	case <-st.done:
	}
	select {
	case <-st.started:
		return st, nil
	default:
		return nil, st.failure()
	}
}

// Next returns the next batch, which has at least one line or notice. At the end of the stream it returns io.EOF, or
// why the stream cannot go on: a usererr.Error, or the error of the context that the stream was started with. When ctx
// ends first, it returns ctx's error and nothing is lost.
func (st *Stream) Next(ctx context.Context) (*Batch, error) {
	batch, err := st.next(ctx)
	if !errors.Is(err, io.EOF) {
		return batch, err
	}
	if err := st.failure(); err != nil {
		return nil, err
	}
	return nil, io.EOF
}

// Close ends the stream and waits until all that it has opened is closed. It may be called more than once, and while
// Next waits, which then returns.
func (st *Stream) Close() {
	st.cancel()
	<-st.done
}

// run watches until the stream is complete or fails, then waits for the followers.
func (st *Stream) run(ctx context.Context) {
	defer close(st.done)
	defer st.cancel()
	roster := newRoster(st)
	err := st.source.WatchPods(ctx, st.plan.target, roster.reconcile)
	roster.close()
	if ctx.Err() == nil {
		st.fail(err)
	}
	st.followers.Wait()
	if err := st.ctx.Err(); err != nil {
		st.fail(err)
	}
	close(st.chunks)
}

// send queues a chunk; it blocks while the queue is full.
func (st *Stream) send(ctx context.Context, c chunk) error {
	c.arrived = time.Now()
	select {
	case st.chunks <- c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fail ends the stream with err, unless it has failed already.
func (st *Stream) fail(err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.err == nil {
		st.err = err
	}
	st.cancel()
}

func (st *Stream) failure() error {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.err
}
