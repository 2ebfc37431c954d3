package follow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/cursor"
	"pullwatch/internal/podlog/logline"
)

// tails finds where the last lines of logs begin. A search serves all that ask for the same within tailLife of its beginning.
type tails struct {
	source podlog.Source

	mu       sync.Mutex
	searches map[tailKey]*tailSearch
}

// tailKey says of which log, and how many last lines. The request has neither Follow nor Tail.
type tailKey struct {
	request podlog.LogRequest
	lines   int
}

// tailSearch is a search of the first that has asked. done is closed at its end.
type tailSearch struct {
	done  chan struct{}
	start tailStart
	err   error
	// canceled means that the one who searched has given up.
	canceled bool
}

// tailStart is where the last lines of a log begin.
type tailStart struct {
	// before is the line before them; zero when there is none, or it was not found.
	before cursor.Position
	// since, if it is not zero, is the timestamp of the first one, when the line before it was not found.
	since time.Time
	// lines is how many there are: fewer than were asked for when the log has no more, or note says why.
	lines int
	// ask is LogRequest.Tail of a request that gives these lines; 0 for none.
	ask int
	// note is what is to be said of them when the log is open.
	note string
}

const (
	// tailLife is how long a search is shared after its beginning.
	tailLife = time.Second
	// storedWhole is below how many bytes container runtimes store a line in one part. For a tail, a node counts each part as a
	// line.
	storedWhole = 8 << 10
	// maxTailRead is after how many bytes a search does not ask for more, in bytes.
	maxTailRead = 64 << 20
	// tailSlack is how many lines may be written after a search, so that the node still counts those that were found among the
	// last ones. If there are more, the log is opened without a tail.
	tailSlack = 10_000
)

func newTails(source podlog.Source) *tails {
	return &tails{source: source, searches: map[tailKey]*tailSearch{}}
}

// find returns where the last lines of a log begin, at least 1. The answer may be that of up to tailLife ago. guard is that of
// the caller's request, which ends with ctx.
func (t *tails) find(ctx context.Context, guard *stallGuard, req podlog.LogRequest, lines int) (tailStart, error) {
	req.Follow, req.Tail, req.Since = false, nil, req.Since.UTC()
	key := tailKey{request: req, lines: lines}
	for {
		s, first := t.join(key)
		if first {
			s.start, s.err = t.search(ctx, guard, req, lines)
			s.canceled = ctx.Err() != nil
			if s.err != nil || s.canceled {
				t.forget(key, s)
			}
			close(s.done)
			return s.start, s.err
		}
		guard.setWaiting(true)
		select {
		case <-s.done:
		case <-ctx.Done():
		}
		guard.setWaiting(false)
		switch {
		case ctx.Err() != nil:
			return tailStart{}, ctx.Err()
		case !s.canceled:
			return s.start, s.err
		}
	}
}

// join returns the search that a caller shares, or with first, a new one that the caller must make.
func (t *tails) join(key tailKey) (s *tailSearch, first bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s, ok := t.searches[key]; ok {
		return s, false
	}
	s = &tailSearch{done: make(chan struct{})}
	t.searches[key] = s
	time.AfterFunc(tailLife, func() { t.forget(key, s) })
	return s, true
}

func (t *tails) forget(key tailKey, s *tailSearch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.searches[key] == s {
		delete(t.searches, key)
	}
}

// search asks for two lines more than n. A node may give fewer, as it counts parts of lines, and begin with a part. So the first
// one may be a part, and the second one is the line before the last n. search asks for more until there are enough.
func (t *tails) search(ctx context.Context, guard *stallGuard, req podlog.LogRequest, n int) (tailStart, error) {
	read := 0
	var before cursor.Position
	for ask := n + 2; ; {
		found, err := t.read(ctx, guard, req, n, ask)
		if err != nil {
			return tailStart{}, err
		}
		read += found.bytes
		start := tailStart{lines: min(n, found.lines), ask: ask + tailSlack}
		switch whole := !found.long && found.lines < ask || !before.IsZero() && found.first == before; {
		case whole && found.lines <= n:
			start.ask = 0
			if found.lines < n && req.Since.IsZero() {
				start.note = fmt.Sprintf("; the node has %d lines of it, fewer than %d", found.lines, n)
			}
		case whole, found.lines >= n+2:
			start.before = found.last.oldest()
		case read >= maxTailRead:
			start.lines = found.lines - 1
			start.note = fmt.Sprintf("; %d of its last %d lines were found in its last %d MiB", start.lines, n, found.bytes>>20)
			start.since = logline.Time(found.last.at(1).Nanos)
			if start.lines == 0 {
				start.since = logline.Time(found.first.Nanos + 1)
			}
		default:
			before = found.first
			ask = min(max(2*ask, ask*(n+2)/max(1, found.lines)), maxTailRead)
			continue
		}
		return start, nil
	}
}

// foundTail is what a request for last lines has brought.
type foundTail struct {
	// lines counts them. last has the last ones.
	lines int
	first cursor.Position
	last  lastPositions
	// bytes is their length. long means that one of them may be stored in parts.
	bytes int
	long  bool
}

// read makes a request for ask last lines, and keeps the positions of n + 1 of them.
func (t *tails) read(ctx context.Context, guard *stallGuard, req podlog.LogRequest, n, ask int) (foundTail, error) {
	req.Tail = &ask
	log, err := guard.open(ctx, t.source, req)
	if err != nil {
		return foundTail{}, fmt.Errorf("open log: %w", err)
	}
	defer log.Close()
	found := foundTail{last: newLastPositions(n + 1)}
	at := cursor.Position{Cut: true}
	var stamps logline.Parser
	for lines := logline.NewReader(guard.reader(log)); ; {
		line, dropped, err := lines.Next()
		if err != nil && !errors.Is(err, io.EOF) {
			return found, fmt.Errorf("read log: %w", err)
		}
		if nanos, message := stamps.Cut(line); nanos != 0 {
			at.Advance(nanos, cursor.Checksum(message))
			found.add(at, len(line)+dropped)
		}
		if err != nil {
			return found, nil
		}
	}
}

func (f *foundTail) add(at cursor.Position, bytes int) {
	if f.lines == 0 {
		f.first = at
	}
	f.lines++
	f.bytes += bytes
	f.long = f.long || bytes >= storedWhole
	f.last.add(at)
}
