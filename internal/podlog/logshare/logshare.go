// Package logshare lets many streams of pod logs share what they ask a cluster for. It wraps a podlog.Source and is
// one: all who watch the same pods share one watch, and those who want the log of the same run of a container share one
// request for it. What each of them gets is what a request of its own would have brought.
//
// An upstream is a request for the log of a run, read into a ring of its most recent lines by a goroutine, its pump. A
// reader whose request begins within the ring reads from there. For any other, the run gets another upstream beside the
// first; its readers move to the first one as soon as the ring there holds the lines that they have come to, and an
// upstream that has lost its last reader is closed. The fastest reader of an upstream sets its pace, so that a single
// slow reader holds the cluster back as it would without sharing, and a reader that is slower than others fails once the
// ring has moved past it.
//
// All who have followed a run ask for its log again when it has ended, to learn whether they had all of it. An answer
// that they may have read before would not tell them. So they join a request that has not come to its end yet, or are
// served from what one has brought that has: not before a request that was made after that end has come to the same
// last line. That makes two requests for all of them together, or a few when the answers differ.
//
// Who reads the whole log of a run that has ended, while nobody else does, has a request for itself: that is faster by
// what a ring costs. Those who come meanwhile share another.
//
// Lines are told apart by their timestamps, which are expected to rise. Where a clock steps back, readers still get
// every line that their upstream brings. Only lines that a cluster leaves out, because they are dated before the Since
// of the request that is shared, are lost to readers that asked for earlier ones.
package logshare

import (
	"context"
	"sync"
	"time"

	"pullwatch/internal/budget"
	"pullwatch/internal/podlog"
)

// Source shares what it asks another podlog.Source for. When all who use it have left, no request is open and nothing
// runs. Of what was read, only logs of runs that have ended are kept then, within the bounds of the memory for all logs
// and until two seconds after their ends.
type Source struct {
	source  podlog.Source
	metrics *Metrics
	memory  memory

	mu      sync.Mutex
	watches map[podlog.Target]*watch
	runs    map[runKey]*run
}

var _ podlog.Source = (*Source)(nil)

// New returns a Source that asks source. What it keeps takes up to maxMemory bytes, of which MaxMemory are enough, from
// b, of no client's share; a nil b has room for all. Who finds no memory left has a request for itself.
func New(source podlog.Source, metrics *Metrics, b *budget.Budget, maxMemory int) *Source {
	return &Source{
		source:  source,
		metrics: metrics,
		memory:  memory{account: b.Open("", 0), max: maxMemory},
		watches: map[podlog.Target]*watch{},
		runs:    map[runKey]*run{},
	}
}

// runKey names one run of one container, and how its log is asked for. Requests that follow it do not share with those
// that are made when it has ended, which tell whether the former have brought all. Nor do those share that ask for it
// as the current and as the previous run: when a container restarts, one of the two gets the log of another run.
type runKey struct {
	namespace, pod, container, run string
	follow, previous               bool
}

// run is what is shared of the log of one run.
type run struct {
	source *Source
	key    runKey
	// users counts the readers and the upstreams. It is guarded by Source.mu, which may be locked while mu is.
	users int

	mu sync.Mutex
	// upstreams are those that go on. Readers move to the first that holds what they want next.
	upstreams []*upstream
	// kept, if it is not nil, has ended and waits for those who come a little later, until expiry.
	kept   *upstream
	expiry *time.Timer
	// changed, if it is not nil, is closed when anything changes that readers wait for.
	changed chan struct{}
}

// upstream is a request to the wrapped source, and the ring of what it has brought. Its pump reads it until it ends or
// its last reader has left.
type upstream struct {
	run       *run
	request   podlog.LogRequest
	beginning beginning
	// asked is when the request was made.
	asked  time.Time
	cancel context.CancelFunc
	// done is closed when the pump has ended.
	done chan struct{}

	// The rest is guarded by run.mu.
	ring
	// opened is when the log was open, zero before.
	opened time.Time
	// waiting is since when the pump has waited for the cluster, zero while it does not.
	waiting time.Time
	// err is why the upstream has ended, at the time ended: io.EOF, or what made it fail.
	err   error
	ended time.Time
	// confirmed means that another request has found the same end.
	confirmed bool
	readers   map[*reader]struct{}
	// fastest is the furthest position that a reader has come to.
	fastest int64
	// demand is signaled when a reader moves or leaves.
	demand sync.Cond
	// waited is for how long slow readers have held up the pump.
	waited time.Duration
}

// reader reads a log from the ring of an upstream.
type reader struct {
	ctx context.Context
	run *run
	// since is the earliest timestamp that the reader wants.
	since int64

	// The rest is guarded by run.mu.
	upstream *upstream
	position int64
	// skipping means that the reader does not want the line that position is in.
	skipping bool
	closed   bool
}

// watch is one watch of the wrapped source and those who share it.
type watch struct {
	cancel context.CancelFunc
	// done is closed when the watch has ended; err is why.
	done chan struct{}
	err  error

	// The rest is guarded by Source.mu.
	subscribers int
	latest      podlog.Snapshot
	// version counts the snapshots.
	version int
	// changed is closed and made anew with each snapshot.
	changed chan struct{}
}
