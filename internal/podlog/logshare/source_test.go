package logshare

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pullwatch/internal/podlog"
)

// record is a line of a log as a node stores it. A line longer than partLength is stored in parts. All but the last are
// partial.
type record struct {
	time    time.Time
	text    string
	partial bool
	// bare means that the line has no timestamp.
	bare bool
}

const partLength = 16 << 10

// appendTo appends r to sent as a kubelet sends it.
func (r record) appendTo(sent []byte, startsLine bool) []byte {
	if startsLine && !r.bare {
		sent = append(r.time.UTC().AppendFormat(sent, "2006-01-02T15:04:05.000000000Z07:00"), ' ')
	}
	sent = append(sent, r.text...)
	if !r.partial {
		sent = append(sent, '\n')
	}
	return sent
}

// cluster is a podlog.Source of one log. It responds as a kubelet does, and counts requests.
type cluster struct {
	// random, if it is not nil, splits responses into pieces of random sizes, also empty ones.
	random *rand.Rand
	// refuse, if it is set, is the error that requests for the log get. It is guarded by mu while requests are made.
	refuse error
	// respond, if it is set, says how to respond to a request. It may sleep.
	respond func(podlog.LogRequest) response

	mu      sync.Mutex
	records []record
	// written is when each record was written, whatever the node's clock said.
	written []time.Time
	// rest is what stands behind the last line when the log has ended with the error ended.
	rest    string
	ended   error
	changed chan struct{}
	// logs are the open requests, each with the error that breaks it.
	logs map[*clusterLog]error
	// opened counts all requests.
	opened int

	// snapshot is what watches deliver. version counts its changes. watchErr ends watches.
	snapshot podlog.Snapshot
	version  int
	watchErr error
	// watched counts all watches, watching those that are open.
	watched, watching int
}

// response says how a request fails. The zero response does not fail.
type response struct {
	// cut, if it is not 0, is after how many lines of the log the response ends with err, or without an error if err is nil.
	cut int
	err error
	// hangs means that the response does not end, but has nothing more.
	hangs bool
}

func newCluster() *cluster {
	return &cluster{changed: make(chan struct{}), logs: map[*clusterLog]error{}}
}

// write appends lines to the log.
func (c *cluster) write(records ...record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range records {
		for len(r.text) > partLength {
			c.records = append(c.records, record{time: r.time, text: r.text[:partLength], partial: true})
			r.text = r.text[partLength:]
		}
		c.records = append(c.records, r)
	}
	for len(c.written) < len(c.records) {
		c.written = append(c.written, time.Now())
	}
	c.wake()
}

// end ends the log, with rest as a last line without its end.
func (c *cluster) end(rest string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rest, c.ended = rest, err
	c.wake()
}

func (c *cluster) wake() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// goAway breaks open requests, and refuses new ones for a time.
func (c *cluster) goAway(d time.Duration) {
	err := errors.New("connection refused")
	c.mu.Lock()
	c.refuse = err
	for l := range c.logs {
		c.logs[l] = err
	}
	c.wake()
	c.mu.Unlock()
	time.Sleep(d)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refuse = nil
}

func (c *cluster) counts() (opened, open int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.opened, len(c.logs)
}

// show changes what watches deliver.
func (c *cluster) show(snapshot podlog.Snapshot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.snapshot = snapshot
	c.version++
	c.wake()
}

// failWatches ends all watches, also later ones, with err. nil stops that.
func (c *cluster) failWatches(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watchErr = err
	c.wake()
}

func (c *cluster) watches() (watched, watching int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.watched, c.watching
}

func (c *cluster) WatchPods(ctx context.Context, _ podlog.Target, deliver func(podlog.Snapshot)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watched++
	c.watching++
	defer func() { c.watching-- }()
	for shown := 0; ; {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case c.watchErr != nil:
			return c.watchErr
		case shown != c.version:
			shown = c.version
			snapshot := c.snapshot
			c.mu.Unlock()
			deliver(snapshot)
			c.mu.Lock()
			continue
		}
		changed := c.changed
		c.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		c.mu.Lock()
	}
}

func (c *cluster) OpenLog(ctx context.Context, req podlog.LogRequest) (io.ReadCloser, error) {
	var response response
	if c.respond != nil {
		response = c.respond(req)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.opened++
	if c.refuse != nil {
		return nil, c.refuse
	}
	l := &clusterLog{ctx: ctx, cluster: c, since: req.Since, follow: req.Follow, response: response}
	if req.Tail != nil {
		l.at = max(len(c.records)-*req.Tail, 0)
	}
	c.logs[l] = nil
	return l, nil
}

// truth is the right response to a request from the log as it is now. The request was made when the log had seen records.
func (c *cluster) truth(req podlog.LogRequest, seen int) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	from := 0
	if req.Tail != nil {
		from = max(seen-*req.Tail, 0)
	}
	var out []byte
	startsLine := true
	for _, r := range c.records[from:] {
		if !r.time.Before(req.Since.Truncate(time.Second)) {
			out = r.appendTo(out, startsLine)
			startsLine = !r.partial
		}
	}
	return append(out, c.rest...)
}

func (c *cluster) seen() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.records)
}

// seenAt is how many lines had been written before t. c.mu is held.
func (c *cluster) seenAt(t time.Time) int {
	n := len(c.written)
	for n > 0 && !c.written[n-1].Before(t) {
		n--
	}
	return n
}

type clusterLog struct {
	ctx      context.Context
	cluster  *cluster
	since    time.Time
	follow   bool
	response response
	// at is the number of the record that follows pending.
	at         int
	insideLine bool
	rested     bool
	pending    []byte
}

func (l *clusterLog) Read(p []byte) (int, error) {
	c := l.cluster
	for {
		if err := l.ctx.Err(); err != nil {
			return 0, err
		}
		c.mu.Lock()
		last := len(c.records)
		if l.response.cut > 0 {
			last = min(last, l.response.cut)
		}
		for l.at < last && len(l.pending) < len(p) {
			if r := c.records[l.at]; !r.time.Before(l.since) {
				l.pending = r.appendTo(l.pending, !l.insideLine)
				l.insideLine = r.partial
			}
			l.at++
		}
		cut, known := c.logs[l]
		end := c.ended
		if !l.follow {
			end = io.EOF
		}
		if l.at >= last {
			switch {
			case l.response.hangs:
				end = nil
			case l.response.err != nil:
				end = l.response.err
			}
		}
		if l.at == len(c.records) && end != nil && !l.rested {
			l.rested = true
			l.pending = append(l.pending, c.rest...)
		}
		changed := c.changed
		n := len(l.pending)
		if n > 0 && c.random != nil {
			n = c.random.IntN(n + 1)
		}
		c.mu.Unlock()
		switch {
		case !known:
			return 0, errors.New("read of a closed log")
		case cut != nil:
			return 0, cut
		case len(l.pending) > 0:
			n = copy(p, l.pending[:n])
			l.pending = l.pending[n:]
			return n, nil
		case end != nil:
			return 0, end
		}
		select {
		case <-changed:
		case <-l.ctx.Done():
		}
	}
}

func (l *clusterLog) Close() error {
	l.cluster.mu.Lock()
	defer l.cluster.mu.Unlock()
	delete(l.cluster.logs, l)
	return nil
}

func newTestSource(c podlog.Source) *Source {
	return New(c, NewMetrics(prometheus.NewRegistry()), nil, MaxMemory)
}
