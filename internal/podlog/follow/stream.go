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
	followers sync.WaitGroup
	// closed is called when all of these have ended.
	closed func()

	mu  sync.Mutex
	err error
	// begunAt is when it was known what the stream, or the one that it goes on with, begins with; zero before.
	begunAt time.Time
}

// newStream starts a stream whose memory, as plan counts it, account has.
func newStream(ctx context.Context, plan *plan, s *Streamer, account *budget.Account) *Stream {
	ctx, cancel := context.WithCancel(ctx)
	watchCtx, stopWatch := context.WithCancel(ctx)
	st := &Stream{
		source:    s.Source,
		plan:      plan,
		logger:    s.Log.With("namespace", plan.target.Namespace),
		metrics:   s.Metrics,
		queue:     queue.New(s.Metrics.queue, account),
		budget:    s.Budget,
		matching:  s.Turns,
		ctx:       ctx,
		cancel:    cancel,
		stopWatch: stopWatch,
		closed:    func() { s.release(plan.caller) },
		started:   make(chan struct{}),
		done:      make(chan struct{}),
	}
	if plan.after != nil {
		st.begunAt = plan.after.Begun
	}
	go st.run(watchCtx)
	return st
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

// run watches until the stream is complete or fails, then waits for the followers.
func (st *Stream) run(ctx context.Context) {
	defer close(st.done)
	defer st.closed()
	defer st.cancel()
	followers := newFollowers(st)
	err := st.source.WatchPods(ctx, st.plan.target, followers.reconcile)
	followers.close()
	if ctx.Err() == nil {
		st.fail(err)
	}
	st.followers.Wait()
	if err := st.ctx.Err(); err != nil {
		st.fail(err)
	}
	st.queue.Close()
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
