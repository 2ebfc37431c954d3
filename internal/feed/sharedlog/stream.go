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
	// heartbeatInterval is how often the leader appends a heartbeat.
	heartbeatInterval = time.Second
	// maxSilence is how long a replica goes on without a heartbeat before it watches the cluster for itself.
	maxSilence = 20 * time.Second
	// LongestAbsence is for how long there may be no leader, at most, without a replica missing one. The last heartbeat may
	// have come heartbeatInterval before, and the first of the next leader comes that long after it has begun to watch.
	LongestAbsence = maxSilence - 2*heartbeatInterval
	// flushLimit bounds Flush and Await, and how long a change may take through the log.
	flushLimit = 500 * time.Millisecond
)

// Stream is a Hub whose states replicas share through a log in Redis.
//
// What a replica publishes is appended to the log. Every Hub, the publisher's own included, takes it from there, so all have
// one order. What does not come back from the log in time, the Stream publishes to its own Hub. While the log is away, Live
// says that the replica has to watch the cluster for itself. Back at the log, the Stream loads all states from there and
// appends those that the log lacks.
//
// Redis may lose the end of the log, or all of it, at any time. The replica that notices removes the rest, and the leader
// makes a new log of what its own Hub holds.
type Stream struct {
	*feed.Hub
	journal        journal
	leads, watches func() bool
	provenHere     func() time.Time
	logger         *slog.Logger
	vacant         chan struct{}
	// lastID is the ID of the last entry that was read. It is the reading goroutine's alone.
	lastID string
	// attachments and lag are for metrics; lag is in nanoseconds.
	attachments, lag atomic.Int64

	mu sync.Mutex
	// attached is the name of the log while it is read and written, empty otherwise.
	attached string
	// tail is the last entry of that log that this replica has read or appended.
	tail    tail
	pending pending // changes to append
	// versions and synced are what SetResourceVersions and SetSynced were told.
	versions feed.ResourceVersions
	synced   bool
	// lastHeartbeat is when the last one came. A replica waits maxSilence for the next, except in tests.
	lastHeartbeat time.Time
	maxSilence    time.Duration
	// proven is when the leader's watch was last known to be live.
	proven time.Time
	live   bool
	// lastLive is when live was last true, or when the Stream began to wait for that. missing is set once the absence of a
	// leader has been logged.
	lastLive time.Time
	missing  bool
	// accepted counts the changes for the log, appended how many of them it has. The last of those has appendedOffset.
	accepted, appended uint64
	appendedOffset     uint64
	// unread holds what was published since everything published had last been read back from the log. Redis may lose
	// what it has accepted.
	unread pending
	bypass
	// interrupt ends the current session or pause.
	interrupt context.CancelCauseFunc

	wake        chan struct{}
	progress    broadcast.Signal
	liveChanged broadcast.Signal
}

// Options are what a Stream works with.
type Options struct {
	Hub *feed.Hub
	// Redis is a client that does not retry, so that the Stream sees every failure. Run closes it when it ends.
	Redis redis.UniversalClient
	// Keys is the prefix of all keys. It has a hash tag, so that a Redis Cluster keeps them together.
	Keys string
	// Leads reports whether this replica holds the Lease. Only the leader makes a new log.
	Leads func() bool
	// Watches reports whether this replica's own watch is live. A leader sends heartbeats only while it is.
	Watches func() bool
	// Proven returns when this replica's own watch was last known to be live, while Watches reports that it is.
	Proven func() time.Time
	Logger *slog.Logger
}

// New returns a Stream that only publishes to its Hub until Run is called.
func New(o Options) *Stream {
	o.Hub.UseSharedLog()
	return &Stream{
		Hub: o.Hub, journal: &redisJournal{redis: o.Redis, keys: newKeys(o.Keys)}, leads: o.Leads, logger: o.Logger,
		watches: o.Watches, provenHere: o.Proven, maxSilence: maxSilence,
		vacant: make(chan struct{}, 1), wake: make(chan struct{}, 1), interrupt: func(error) {},
	}
}

// Publish takes a pull's new state and appends it to the log. It comes to the Hub from there, or at once while the log is too
// slow or away.
func (s *Stream) Publish(state *pull.State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.Latest(state.ID); known != nil && state.Same(known) && !s.unread.holds(state.ID) {
		return // a new leader sees again what was published before
	}
	s.acceptLocked(feed.Change{State: state})
}

// Retire takes the id of a pull whose Job is gone, as Publish takes a state.
func (s *Stream) Retire(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acceptLocked(feed.Change{Retired: id})
}

// SetResourceVersions says that every change up to these resourceVersions, of Jobs and of pods, has been published.
func (s *Stream) SetResourceVersions(jobs, pods uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.versions = feed.ResourceVersions{Jobs: jobs, Pods: pods}
	s.reportSyncedLocked()
}

// SetSynced says that every pull that exists has been published. The Hub is synced once all of that has come to it.
func (s *Stream) SetSynced() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.synced = true
	if s.attached == "" {
		s.bypassLocked()
		s.interrupt(errNoLog) // a leader may now make one
	}
	s.reportSyncedLocked()
}

func (s *Stream) acceptLocked(c feed.Change) {
	if s.bypassing {
		s.publishLocked(c)
	} else {
		s.unread.add(c)
		s.startTimerLocked()
	}
	if s.attached == "" {
		s.accepted++ // attaching appends it
	} else {
		s.enqueueLocked(c)
	}
}

// publishLocked publishes a change to the Hub, past the log.
func (s *Stream) publishLocked(c feed.Change) {
	if c.State != nil {
		s.Hub.Publish(c.State)
	} else {
		s.Hub.Retire(c.Retired)
	}
}

// enqueueLocked has the writing goroutine append a change.
func (s *Stream) enqueueLocked(c feed.Change) {
	s.pending.add(c)
	s.accepted++
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Flush waits until this replica's Hub has got from the log what was published before, half a second at most. After that it
// publishes it to the Hub past the log.
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
		done := s.unread.empty() || (s.appended >= target && s.reached(s.appendedOffset))
		s.mu.Unlock()
		if done {
			return
		}
		select {
		case <-progress:
		case <-ctx.Done():
			s.mu.Lock()
			defer s.mu.Unlock()
			s.bypassLocked()
			return
		}
	}
}

// Await waits until this replica is not behind a reader at this position, half a second at most.
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

// Live reports whether the log is read and some replica leads, so that every change in the cluster comes through the log.
func (s *Stream) Live() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live
}

// Proven returns when the leader's watch was last known to be live, as the last heartbeat said. The Hub knows every change in
// the cluster up to then. It is zero before the first heartbeat.
func (s *Stream) Proven() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proven
}

// LiveChanged returns a channel that has a value once Live may have changed, and the function that ends the subscription.
func (s *Stream) LiveChanged() (<-chan struct{}, func()) { return s.liveChanged.Subscribe() }

// Vacant returns a channel that has a value when a leader has resigned.
func (s *Stream) Vacant() <-chan struct{} { return s.vacant }

// Resign tells the other replicas, through the log, that this one leads no longer.
func (s *Stream) Resign(ctx context.Context) {
	s.mu.Lock()
	name, last := s.attached, s.tail
	s.mu.Unlock()
	if name == "" {
		return
	}
	if _, err := s.journal.append(ctx, name, last, feed.ResourceVersions{}, false, operation{kind: entryResign}); err != nil {
		s.logger.Debug("the other replicas could not be told that this one leads no longer", "error", err)
	}
}

// Run reads and writes the log until ctx is done, and closes the client. Its error is always nil.
func (s *Stream) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	defer s.journal.close()
	defer s.stopTimer()
	wg.Go(func() { s.write(ctx) })
	const shortest, longest, healthy = 100 * time.Millisecond, 2 * time.Second, 10 * time.Second
	pause := shortest
	warned := false
	for ctx.Err() == nil {
		session, cancel := context.WithCancelCause(ctx)
		s.mu.Lock()
		if s.lastLive.IsZero() {
			s.lastLive = time.Now()
		}
		s.interrupt = cancel
		s.mu.Unlock()
		began := time.Now()
		err := s.session(session, func() {
			if warned {
				s.logger.Info("the shared log in Redis is back")
			}
			warned = false
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
		if !warned && !errors.Is(err, errNoLog) {
			warned = true
			s.logger.Warn("the shared log in Redis cannot be used; this replica watches the cluster for itself", "error", err)
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
