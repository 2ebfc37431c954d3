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
	tails   *tails
	plan    *plan
	logger  *slog.Logger
	metrics *Metrics
	queue   *queue.Queue
	// matching gives turns to match lines in.
	matching *turns.Turns
	// budget gives the followers their memory.
	budget *budget.Budget

	// ctx is that of the followers. The watch has a child of it, which stopWatch cancels when the stream is complete.
	ctx       context.Context
	cancel    context.CancelFunc
	stopWatch context.CancelFunc
	started   chan struct{}  // closed when the first snapshot was taken in
	done      chan struct{}  // closed when the watch and all followers have ended
	running   sync.WaitGroup // of the followers
	// closed is called before done is closed.
	closed func()

	mu  sync.Mutex
	err error
	// begunAt is Cursor.Begun: when the stream, or the one that it resumes, knew its first containers; zero before.
	begunAt time.Time
}

// Next returns the next batch. At the end of the stream it returns io.EOF, or the reason why the stream cannot go on: a
// usererr.Error, or the error of the context that the stream was started with. When ctx ends first, Next returns ctx's
// error, and no lines are lost.
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

// Close ends the stream, waits until its watch and its logs are closed, and gives back its memory. It may be called more than
// once, and while Next waits, which then returns.
func (st *Stream) Close() {
	st.cancel()
	<-st.done
	st.queue.Release()
}

// begin is called with each snapshot, and reports whether the stream begins with its pods. That is the first snapshot, or
// without Input.Follow the first one that has pods. A resumed stream has begun before.
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
