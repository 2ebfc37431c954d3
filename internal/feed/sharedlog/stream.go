package sharedlog

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"pullwatch/internal/broadcast"
	"pullwatch/internal/feed"
	"pullwatch/internal/pull"
)

const (
	// beatTime is how often the leader appends a sign of life. It carries the marks.
	beatTime = time.Second
	// longestSilence is how long a replica goes on without a sign of life before it watches the cluster for itself.
	longestSilence = 20 * time.Second
	// LongestAbsence is for how long there may be no leader, at most, without a replica missing one: the last sign of life
	// may have come beatTime before, and the first of the next leader comes beatTime after it has begun to watch.
	LongestAbsence = longestSilence - 2*beatTime
	// flushLimit bounds Flush.
	flushLimit = 500 * time.Millisecond
)

// Stream is a Hub whose states replicas share through a log in Redis.
//
// Whatever a replica publishes is appended to the log, and every Hub, the publisher's own included, takes it from there:
// so all of them have one order. What does not come back from the log in time, the Stream has its own Hub take as well.
// While the log is away, Live tells that the replica has to watch the cluster for itself. Back at the log, it loads all
// states from there and appends the ones that the log lacks.
//
// Redis may lose the end of the log, or all of it, at any time. Whoever notices removes the rest, and the leader begins a
// new log from its own Hub.
type Stream struct {
	*feed.Hub
	journal        journal
	leads, watches func() bool
	provenHere     func() time.Time
	log            *slog.Logger
	vacant         chan struct{}
	// entry is the last one that was read, as Redis names it. It is the reader's alone.
	entry string
	// attachments and lag are for metrics; lag is in nanoseconds.
	attachments, lag atomic.Int64

	mu sync.Mutex
	// attached is the name of the log while it is read and written, empty otherwise.
	attached string
	pending  pending
	marked   feed.ResourceVersions
	// complete is true once every pull that exists has been published.
	complete bool
	// heard is when a replica that leads last gave a sign of life, silence how long ago that may be.
	heard   time.Time
	silence time.Duration
	// proven is when the watch of a replica that leads was last known to live.
	proven time.Time
	live   bool
	// heardOrBegan is when the log was last live, or when that began to be waited for; missing is set once it was told
	// that this is long ago.
	heardOrBegan time.Time
	missing      bool
	// accepted counts what the log is to be told, settled how much of it has been appended; the last of that stands at settledPlace.
	accepted, settled uint64
	settledPlace      uint64
	// unread holds what was published since all of that had last come to the Hub. Redis may lose what it has accepted.
	unread pending
	patience
	// interrupt ends the current session or pause.
	interrupt context.CancelCauseFunc

	wake        chan struct{}
	progress    broadcast.Signal
	liveChanged broadcast.Signal
}

// Options say what a Stream works on.
type Options struct {
	Hub *feed.Hub
	// Redis is a client that does not retry, so that every failure is seen. Run closes it when it ends.
	Redis redis.UniversalClient
	// Keys begins the names of all keys. It has a hash tag, so that a Redis Cluster keeps them together.
	Keys string
	// Leads reports whether this replica holds the Lease: it alone begins a new log.
	Leads func() bool
	// Watches reports whether this replica's own watch is live: a leader gives signs of life only while it is.
	Watches func() bool
	// Proven returns when this replica's own watch was last known to live, while Watches reports that it does.
	Proven func() time.Time
	Log    *slog.Logger
}

// New returns a Stream that does nothing but publish to its Hub until it runs.
func New(o Options) *Stream {
	return &Stream{
		Hub: o.Hub, journal: &redisJournal{redis: o.Redis, keys: newKeys(o.Keys)}, leads: o.Leads, log: o.Log,
		watches: o.Watches, provenHere: o.Proven, silence: longestSilence,
		vacant: make(chan struct{}, 1), wake: make(chan struct{}, 1), interrupt: func(error) {},
	}
}

// Publish takes a pull's new state. It is appended to the log and comes to the Hub from there, or at once while the log
// is too slow or away.
func (s *Stream) Publish(job *pull.Job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.Latest(job.ID); known != nil && job.Same(known) && !s.unread.holds(job.ID) {
		return // a new leader sees anew what was published before
	}
	s.accept(feed.Change{Job: job})
}

// Retire takes the id of a pull whose Job is gone.
func (s *Stream) Retire(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accept(feed.Change{Retired: id})
}

// SetResourceVersions notes that every change up to these resourceVersions, of Jobs and of pods, has been published.
func (s *Stream) SetResourceVersions(jobs, pods uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.marked = feed.ResourceVersions{Jobs: jobs, Pods: pods}
	s.upToDate()
}

// SetSynced tells that every pull that exists has been published. The Hub is filled once all of that has come to it.
func (s *Stream) SetSynced() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.complete = true
	if s.attached == "" {
		s.tellAlone()
		s.interrupt(errNoLog) // a leader may now begin one
	}
	s.upToDate()
}

func (s *Stream) accept(c feed.Change) {
	if s.alone {
		s.tell(c)
	} else {
		s.unread.add(c)
		s.expect()
	}
	if s.attached == "" {
		s.accepted++ // whoever attaches has the log told
	} else {
		s.enqueue(c)
	}
}

// tell has the Hub take what does not come from the log.
func (s *Stream) tell(c feed.Change) {
	if c.Job != nil {
		s.Hub.Publish(c.Job)
	} else {
		s.Hub.Retire(c.Retired)
	}
}

// enqueue has the log told.
func (s *Stream) enqueue(c feed.Change) {
	s.pending.add(c)
	s.accepted++
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Flush waits until this replica's Hub has got from the log what was published before, half a second at most. Then it has
// the Hub take it at once.
func (s *Stream) Flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, flushLimit)
	defer cancel()
	progress, unsubscribe := s.progress.Subscribe()
	defer unsubscribe()
	s.mu.Lock()
	target := s.accepted
	s.mu.Unlock()
	for {
		s.mu.Lock()
		done := s.unread.empty() || (s.settled >= target && s.reached(s.settledPlace))
		s.mu.Unlock()
		if done {
			return
		}
		select {
		case <-progress:
		case <-ctx.Done():
			s.mu.Lock()
			defer s.mu.Unlock()
			s.tellAlone()
			return
		}
	}
}

// Await waits until this replica has come as far as a reader has on another one, half a second at most.
func (s *Stream) Await(ctx context.Context, at pull.Position) {
	ctx, cancel := context.WithTimeout(ctx, flushLimit)
	defer cancel()
	progress, unsubscribe := s.progress.Subscribe()
	defer unsubscribe()
	for {
		if !s.Behind(at) {
			return
		}
		select {
		case <-progress:
		case <-ctx.Done():
			return
		}
	}
}

// Live reports whether the log is read and somebody leads, so that it tells of every change in the cluster.
func (s *Stream) Live() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live
}

// Proven returns when the watch of a replica that leads was last known to live, as far as the log has told: up to then the
// Hub knows every change in the cluster. It is zero when the log has not told yet.
func (s *Stream) Proven() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proven
}

// LiveChanged returns a channel that has a value once Live may have changed, and the function that ends the subscription.
func (s *Stream) LiveChanged() (<-chan struct{}, func()) { return s.liveChanged.Subscribe() }

// Vacant returns a channel that has a value when a leader has said that it leads no longer.
func (s *Stream) Vacant() <-chan struct{} { return s.vacant }

// Resign tells the other replicas that this one leads no longer.
func (s *Stream) Resign(ctx context.Context) {
	s.mu.Lock()
	log := s.attached
	s.mu.Unlock()
	if log == "" {
		return
	}
	if _, err := s.journal.append(ctx, log, feed.ResourceVersions{}, false, operation{kind: entryResign}); err != nil {
		s.log.Debug("the other replicas could not be told that this one leads no longer", "error", err)
	}
}

// Run keeps to the log until ctx is done.
func (s *Stream) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	defer s.journal.close()
	defer s.stopWaiting()
	wg.Go(func() { s.write(ctx) })
	const shortest, longest, healthy = 100 * time.Millisecond, 2 * time.Second, 10 * time.Second
	pause := shortest
	told := false
	for ctx.Err() == nil {
		session, cancel := context.WithCancelCause(ctx)
		s.mu.Lock()
		if s.heardOrBegan.IsZero() {
			s.heardOrBegan = time.Now()
		}
		s.interrupt = cancel
		s.mu.Unlock()
		began := time.Now()
		err := s.session(session, func() {
			if told {
				s.log.Info("the shared log in Redis is back")
			}
			told = false
		})
		if cause := context.Cause(session); cause != nil {
			err = cause
		}
		cancel(nil)
		s.detach()
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(began) > healthy {
			pause = shortest
		}
		if !told && !errors.Is(err, errNoLog) {
			told = true
			s.log.Warn("the shared log in Redis cannot be used; this replica watches the cluster for itself", "error", err)
		}
		s.pause(ctx, pause/2+rand.N(pause))
		pause = min(2*pause, longest)
	}
	return nil
}

// pause waits, unless it is interrupted.
func (s *Stream) pause(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	s.mu.Lock()
	s.interrupt = func(error) { cancel() }
	s.mu.Unlock()
	<-ctx.Done()
}
