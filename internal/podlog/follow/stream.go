package follow

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"pullwatch/internal/budget"
	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/queue"
	"pullwatch/internal/turns"
)

// Stream is a running stream of logs. Next must not be called by two goroutines at once.
type Stream struct {
	source  podlog.Source
	plan    *plan
	logger  *slog.Logger
	metrics *Metrics
	queue   *queue.Queue
	// matching are the turns in which lines are matched.
	matching *turns.Turns
	// budget is what the memory of followers is taken from.
	budget *budget.Budget

	// ctx is that of the followers. The watch has one below it, which stopWatch ends when the stream is complete.
	ctx       context.Context
	cancel    context.CancelFunc
	stopWatch context.CancelFunc
	started   chan struct{}
	done      chan struct{}
	running   sync.WaitGroup // the followers
	// closed is called when all of these have ended.
	closed func()

	mu  sync.Mutex
	err error
	// begunAt is when it was known what the stream, or the one that it goes on with, begins with; zero before.
	begunAt time.Time
}

// Next returns the next batch. At the end of the stream it returns io.EOF, or
// why the stream cannot go on: a usererr.Error, or the error of the context that the stream was started with. When ctx
// ends first, it returns ctx's error and nothing is lost.
func (st *Stream) Next(ctx context.Context) (*podlog.Batch, error) {
	batch, err := st.queue.Next(ctx, st.plan.digest, st.begun)
	if !errors.Is(err, io.EOF) {
		return batch, err
	}
	if err := st.failure(); err != nil {
		return nil, err
	}
	return nil, io.EOF
}

// Close ends the stream, waits until all that it has opened is closed, and gives back its memory. It may be called more than once, and while
// Next waits, which then returns.
func (st *Stream) Close() {
	st.cancel()
	<-st.done
	st.queue.Release()
}

// begin is called with each look at the pods, and reports whether it is with these that the stream begins: with those
// of the first look, or when it follows nothing, of the first that has any.
func (st *Stream) begin(hasPods bool) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	if !st.begunAt.IsZero() || !hasPods && !st.plan.follow {
		return false
	}
	st.begunAt = time.Now()
	return true
}

func (st *Stream) begun() time.Time {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.begunAt
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
