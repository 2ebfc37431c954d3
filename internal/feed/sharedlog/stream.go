package sharedlog

import (
	"context"
	"iter"
	"log/slog"
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
	// maxSilence is how long a replica goes on without a heartbeat. Then it watches the cluster for itself.
	maxSilence = 20 * time.Second
	// LongestAbsence is how long there may be no leader without a replica missing one. The last heartbeat may have come
	// heartbeatInterval before the leader went. The next leader sends its first one that long after it has begun to watch.
	LongestAbsence = maxSilence - 2*heartbeatInterval
	// flushLimit bounds Flush and Await. It is also how long a change may take to come back from the log.
	flushLimit = 500 * time.Millisecond
)

// Stream fills a replica's Hub from the log, and appends to the log what the replica publishes. Make one with New. Methods that
// end in Locked need mu.
type Stream struct {
	hub            *feed.Hub
	journal        journal
	leads, watches func() bool
	provenHere     func() time.Time
	logger         *slog.Logger
	vacant         chan struct{}
	// lastID is the ID of the last entry that was read. Only the goroutine that reads uses it.
	lastID string
	// attachments and lag are for metrics; lag is in nanoseconds.
	attachments, lag atomic.Int64

	mu sync.Mutex
	// attached is the name of the log while it is read and written, otherwise empty.
	attached string
	// tail is the last entry of that log that this replica has read or appended.
	tail tail
	// pending holds the changes to append.
	pending pending
	// versions and synced are what SetResourceVersions and SetSynced have set.
	versions feed.ResourceVersions
	synced   bool
	// lastHeartbeat is when the last heartbeat came. Within maxSilence the next one must come; only tests change that.
	lastHeartbeat time.Time
	maxSilence    time.Duration
	// proven is when the leader's watch was last known to be live.
	proven time.Time
	live   bool
	// lastLive is when live was last true, or when the Stream began to wait for that. missing is set once a line has been
	// logged that no leader is heard.
	lastLive time.Time
	missing  bool
	// accepted counts the changes that were published, appended those of them that the log has taken. The last of these
	// has appendedOffset.
	accepted, appended uint64
	appendedOffset     uint64
	// unread holds what was published since the log had last returned everything. Redis may lose what it has taken.
	unread pending
	// bypassing is true while what is published goes to the Hub at once. It ends when the log returns the first entry of
	// this replica, or lacks nothing.
	bypassing bool
	// timer runs while timing is true: something is unread and bypassing is false.
	timer  *time.Timer
	timing bool
	// expected is the offset of the first entry of this replica that the log has not returned; 0 for none. The timer
	// starts anew with each one that is returned.
	expected uint64
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

// New returns a Stream that publishes to its Hub only, until Run is called.
func New(o Options) *Stream {
	o.Hub.UseSharedLog()
	return &Stream{
		hub: o.Hub, journal: &redisJournal{redis: o.Redis, keys: newKeys(o.Keys)}, leads: o.Leads, logger: o.Logger,
		watches: o.Watches, provenHere: o.Proven, maxSilence: maxSilence,
		vacant: make(chan struct{}, 1), wake: make(chan struct{}, 1), interrupt: func(error) {},
	}
}

// Latest is feed.Hub's, as are the following methods: a Stream answers with what its Hub knows.
func (s *Stream) Latest(id string) *pull.State { return s.hub.Latest(id) }

// Pulls is feed.Hub's.
func (s *Stream) Pulls() []*pull.State { return s.hub.Pulls() }

// Running is feed.Hub's.
func (s *Stream) Running(r pull.Route) *pull.State { return s.hub.Running(r) }

// Queued is feed.Hub's.
func (s *Stream) Queued(starting iter.Seq[string]) int { return s.hub.Queued(starting) }

// ResourceVersions is feed.Hub's.
func (s *Stream) ResourceVersions() (jobs, pods uint64) { return s.hub.ResourceVersions() }

// Missed is feed.Hub's.
func (s *Stream) Missed() <-chan struct{} { return s.hub.Missed() }

// AwaitSync is feed.Hub's.
func (s *Stream) AwaitSync(ctx context.Context) error { return s.hub.AwaitSync(ctx) }

// Subscribe is feed.Hub's.
func (s *Stream) Subscribe(ids []string, after pull.Position) (*feed.Subscription, error) {
	return s.hub.Subscribe(ids, after)
}

// Live reports whether this replica reads the log and some replica leads. Then every change in the cluster comes through
// the log.
func (s *Stream) Live() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live
}

// LiveChanged returns a channel that has a value once Live may have changed, and the function that ends the subscription.
func (s *Stream) LiveChanged() (<-chan struct{}, func()) { return s.liveChanged.Subscribe() }

// Proven returns when the leader's watch was last known to be live, as the last heartbeat said. The Hub knows every change in
// the cluster up to then. It is zero before the first heartbeat.
func (s *Stream) Proven() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proven
}

// Vacant returns a channel that has a value when a leader has resigned.
func (s *Stream) Vacant() <-chan struct{} { return s.vacant }

// reached reports whether this replica has read the log up to an offset.
func (s *Stream) reached(offset uint64) bool {
	_, read := s.hub.LogOffset()
	return read >= offset
}
