// Package logshare lets many streams of pod logs share requests to a cluster. It wraps a podlog.Source and is one: all
// watches of the same target share one watch, and all requests for the log of the same run of a container share one
// request. Each gets what a request of its own would have got.
//
// A request is made once, as an upstream of its run. A goroutine, the pump, reads the log into the upstream's ring: its most
// recent bytes, in blocks, and an index of its lines, which a scanner finds. A reader reads from the ring. A new request
// becomes a reader of an upstream whose ring holds its beginning: the first line that it wants, by its Tail and Since.
// Otherwise the run gets another upstream. The readers of that move to the first upstream as soon as its ring holds their
// next line. An upstream without readers is closed. The fastest reader sets the pace of an upstream. So a single slow
// reader holds the cluster back, as it would without sharing. A reader that is slower than another one fails when the ring
// has moved past it.
//
// All streams that have followed a run ask for its log again when it has ended, to learn whether they had all of it. A
// response that they may have read before would not tell them. So they join a request that has not come to its end yet, or
// read from one that has, and is cached for a moment. The cached one must be confirmed first: a request that was made
// after its end has come to the same last line. That makes two requests for all streams, or a few if the responses differ.
//
// A single reader of the whole log of a run that has ended gets a request of its own, which is faster without a ring.
// Readers that come meanwhile share another one.
//
// Lines are identified by their timestamps, which are expected to rise. Where a clock steps back, readers still get every
// line of their upstream. But they may miss lines that a cluster leaves out of a shared request, because their timestamps
// are before its Since, although the readers asked for earlier lines.
//
// The files in reading order, in which each needs only earlier ones: scanner, ring, beginning, memory, metrics, logshare,
// locate, run, watch, upstream, cached, reader, pump, open.
package logshare

import (
	"context"
	"sync"
	"time"

	"pullwatch/internal/budget"
	"pullwatch/internal/podlog"
)

// Source shares requests to another podlog.Source. When all its logs and watches are closed, no request is open and no
// goroutine runs. Then it holds only logs of runs that have ended, for cacheLife after their ends.
type Source struct {
	source  podlog.Source
	metrics *Metrics
	memory  memory

	mu      sync.Mutex
	watches map[podlog.Target]*watch
	runs    map[runKey]*run
}

var _ podlog.Source = (*Source)(nil)

// New returns a Source that shares requests to source. Its rings take up to maxMemory bytes from b, of no caller's share;
// MaxMemory is enough. A nil b has room for all. Without memory, a request is not shared.
func New(source podlog.Source, metrics *Metrics, b *budget.Budget, maxMemory int) *Source {
	return &Source{
		source:  source,
		metrics: metrics,
		memory:  memory{account: b.Open("", 0), max: maxMemory},
		watches: map[podlog.Target]*watch{},
		runs:    map[runKey]*run{},
	}
}

// runKey identifies one run of one container, and the kind of request for its log. Requests that follow the run do not share
// with requests after its end, which find out whether the former had all lines. Requests for the current run do not share
// with requests for the previous one: when a container restarts, one of them gets the log of another run.
type runKey struct {
	namespace, pod, container, run string
	follow, previous               bool
}

// run is what readers share of the log of one run.
type run struct {
	source *Source
	key    runKey
	// users counts the readers and the upstreams. Source.mu guards it. Whoever holds mu may lock Source.mu, never the other way
	// round.
	users int

	mu sync.Mutex
	// upstreams have not ended. Readers move to the first one that holds their next line.
	upstreams []*upstream
	// cached, if it is not nil, has ended and serves later requests until expiry.
	cached *upstream
	expiry *time.Timer
	// changed, if it is not nil, is closed at the next change that readers wait for.
	changed chan struct{}
}

// upstream is a request to the wrapped source, and a ring of the response. Its pump reads the log until that ends or the last
// reader is closed.
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
	// waiting is when the pump began to wait for the cluster, zero while it does not.
	waiting time.Time
	// err is io.EOF, or why the upstream has failed. ended is when.
	err   error
	ended time.Time
	// confirmed means that another request has found the same end.
	confirmed bool
	readers   map[*reader]struct{}
	// fastest is the highest offset of a reader.
	fastest int64
	// demand is signaled when a reader moves or is closed.
	demand sync.Cond
	// waited is how long the pump has waited for slow readers.
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
	// offset is where the reader's next byte is, in bytes from the beginning of upstream.
	offset int64
	// skipping means that the reader does not want the line at offset.
	skipping bool
	closed   bool
}

// watch is one watch of the wrapped source, which subscribers share.
type watch struct {
	cancel context.CancelFunc
	// done is closed when the watch has ended. err is why.
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
