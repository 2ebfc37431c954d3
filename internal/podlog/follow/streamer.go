// Package follow streams the logs of pods: of one pod, of a Job's pods, or of all that a label selector matches.
//
// A Streamer starts a Stream for an Input, which it checks first (plan). The Stream watches the pods of a podlog.Source. Each
// snapshot of them is reconciled with the stream's followers: each container has one, in a goroutine of its own. A follower
// reads one run of its container after the other. A runReader reads the log of one run: it opens the log, goes on behind
// the last line when the log breaks off, and pushes lines into the stream's queue. Stream.Next takes batches out of it.
//
// When the reader of a Stream is slower than the logs, lines that were written before the logs were opened wait for it, and
// hold back the kubelets. Live lines are dropped instead, and counted. A notice says what could not be read.
//
// A cluster gives the log of a container's current run. That may be a later run than the status shows. When the status
// shows the later run, too, and the follower's last line is in its log, the follower goes on there. It does not repeat
// lines. Those of the run before would come too late by then: a GAP says that they are missing.
//
// The files in reading order, in which each needs only earlier ones: metrics, names, plan, memory, stall, status, response, tails, stream; follower,
// runs, backoff, run_reader, tail, request, read, end, lastwriter, run, places, container; followers, check, start, reconcile, streamer.
package follow

import (
	"context"
	"log/slog"
	"runtime"
	"sync"

	"pullwatch/internal/budget"
	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/queue"
	"pullwatch/internal/turns"
	"pullwatch/internal/usererr"
)

// Options are what a Streamer needs.
type Options struct {
	Source  podlog.Source
	Metrics *Metrics
	// MaxStreams is how many streams may be open at a time; 0 means any number.
	MaxStreams int
	// MaxCallerStreams is how many of them may be of one Input.Caller; 0 means any number.
	MaxCallerStreams int
	// Budget gives streams their memory, by Input.Caller; nil has room for all. Without room, a new stream is refused with
	// UNAVAILABLE. An open stream then has less room for waiting lines, down to queue.MinWaiting. When it gets a container for which
	// there is no room, or a log to read, it ends with UNAVAILABLE.
	Budget *budget.Budget
	// Turns gives turns in which expressions are compiled and matched, by Input.Caller. The default takes half of the
	// processors.
	Turns *turns.Turns
	// Log gets, at debug level, what callers need not know.
	Log *slog.Logger
}

// Streamer starts streams of logs.
type Streamer struct {
	Options
	// tails is shared by all streams.
	tails *tails

	mu   sync.Mutex
	open int
	// callers counts the open streams of each Input.Caller.
	callers map[string]int
}

// New returns a Streamer. Source, Metrics and Log must be set in o.
func New(o Options) *Streamer {
	if o.Turns == nil {
		o.Turns = turns.New(max(1, runtime.GOMAXPROCS(0)/2))
	}
	return &Streamer{Options: o, tails: newTails(o.Source), callers: map[string]int{}}
}

// Stream checks in, starts a stream, and returns it after its first snapshot of pods. The error is a usererr.Error
// (BAD_INPUT, NOT_FOUND, FORBIDDEN, LIMIT_EXCEEDED, UNAVAILABLE), ctx's, or internal. The stream ends when ctx does. The
// caller closes it in any case.
func (s *Streamer) Stream(ctx context.Context, in podlog.Input) (*Stream, error) {
	plan, err := s.plan(ctx, in)
	if err != nil {
		return nil, err
	}
	account, err := s.admit(plan)
	if err != nil {
		return nil, err
	}
	st := newStream(ctx, plan, s, account)
	select {
	case <-st.started:
	case <-st.done:
	}
	select {
	case <-st.started:
		return st, nil
	default:
		st.Close()
		return nil, st.failure()
	}
}

// plan checks in. Expressions may take some time, up to 30 ms each, and are checked in turns.
func (s *Streamer) plan(ctx context.Context, in podlog.Input) (*plan, error) {
	if in.Include != nil || in.Exclude != nil || in.Containers != nil {
		end, err := s.Turns.Take(ctx, in.Caller)
		if err != nil {
			return nil, err
		}
		defer end()
	}
	return newPlan(in)
}

// admit counts a stream and takes its memory, or returns the error that refuses it. The caller's own limit is checked first:
// that one is in the caller's hands.
func (s *Streamer) admit(plan *plan) (*budget.Account, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	caller := plan.caller
	switch n := s.callers[caller]; {
	case s.MaxCallerStreams > 0 && n >= s.MaxCallerStreams:
		s.Metrics.refuse(limitCaller)
		return nil, usererr.New(usererr.LimitExceeded, "%d streams of logs are open for this caller, as many as one may have: "+
			"close one, or follow several pods in one stream, by job or selector", n)
	case s.MaxStreams > 0 && s.open >= s.MaxStreams:
		s.Metrics.refuse(limitTotal)
		return nil, usererr.New(usererr.LimitExceeded, "%d streams of logs are open, as many as this server allows: close "+
			"one, or try again later", s.open)
	}
	account := s.Budget.Open(caller, 0)
	if err := account.Take(budget.Logs, plan.memory()); err != nil {
		s.Metrics.refuse(limitMemory)
		return nil, err
	}
	s.open++
	if caller != "" {
		s.callers[caller]++
	}
	s.Metrics.streams.Inc()
	return account, nil
}

// release undoes admit when a stream has ended. Only the stream's memory stays taken, until it is closed.
func (s *Streamer) release(caller string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
	if caller != "" {
		if s.callers[caller]--; s.callers[caller] == 0 {
			delete(s.callers, caller)
		}
	}
	s.Metrics.streams.Dec()
}

// newStream starts a stream. account has taken its memory.
func newStream(ctx context.Context, plan *plan, s *Streamer, account *budget.Account) *Stream {
	ctx, cancel := context.WithCancel(ctx)
	watchCtx, stopWatch := context.WithCancel(ctx)
	st := &Stream{
		source:    s.Source,
		tails:     s.tails,
		plan:      plan,
		logger:    s.Log.With("namespace", plan.target.Namespace),
		metrics:   s.Metrics,
		queue:     queue.New(s.Metrics.queue, account, plan.maxLineBytes),
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

// run watches pods until the stream is complete or fails. Then it waits for the followers.
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
	st.running.Wait()
	if err := st.ctx.Err(); err != nil {
		st.fail(err)
	}
	st.queue.Close()
}
