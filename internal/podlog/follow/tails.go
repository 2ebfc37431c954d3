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

// tailKey says of which log, and how many last lines, at least 1. The request has neither Follow nor Tail. If until is not 0, the
// last lines are those before that timestamp, in nanoseconds since 1970.
type tailKey struct {
	request podlog.LogRequest
	lines   int
	until   int64
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
	// lines is how many there are at most.
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
	// maxTailRead is how much of a log a search reads, with all its requests, in bytes.
	maxTailRead = 64 << 20
	// tailSlack is how many lines may be written after a search, so that the node still counts those that were found among the
	// last ones. If there are more, the log is opened without a tail.
	tailSlack = 10_000
)

func newTails(source podlog.Source) *tails {
	return &tails{source: source, searches: map[tailKey]*tailSearch{}}
}

// find returns where the last lines of a log begin. The answer may be that of up to tailLife ago.
func (t *tails) find(ctx context.Context, key tailKey) (tailStart, error) {
	key.request.Follow, key.request.Tail, key.request.Since = false, nil, key.request.Since.UTC()
	for {
		s, first := t.join(key)
		if first {
			s.start, s.err = t.search(ctx, key)
			s.canceled = ctx.Err() != nil
			if s.err != nil || s.canceled {
				t.forget(key, s)
			}
			close(s.done)
			return s.start, s.err
		}
		select {
		case <-s.done:
		case <-ctx.Done():
			return tailStart{}, ctx.Err()
		}
		if !s.canceled {
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

// search asks for two lines more than are wanted. A node may give fewer, as it counts parts of lines, and begin with a part. So
// the first one may be a part, and the second one is the line before those that are wanted. search asks for more until there
// are enough.
func (t *tails) search(ctx context.Context, key tailKey) (tailStart, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	guard := newStallGuard(false, cancel)
	defer guard.stop()

	n, left := key.lines, maxTailRead
	var before foundTail
	for ask := n + 2; ; {
		found, err := t.read(ctx, guard, key, ask, left)
		if err != nil {
			return tailStart{}, err
		}
		left -= found.bytes
		// A response with fewer parts than were asked for has the whole log, or was cut off. If it has the whole log, one with more
		// begins with the same line.
		fewer := found.parts < ask
		switch confirmed := before.ask > 0 && found.first == before.first && found.lines >= before.lines; {
		case found.tooLong && before.ask > 0:
			return before.startWithin(key), nil
		case found.tooLong:
			return found.startWithin(key), nil
		case fewer && !confirmed && before.parts < before.ask:
			return tailStart{}, errCutOff
		case fewer && !confirmed:
		case found.lines >= n+2, fewer && found.lines > n:
			return tailStart{before: found.last.oldest(), lines: n, ask: ask + tailSlack}, nil
		case fewer:
			start := tailStart{lines: found.lines}
			if found.lines < n && key.until == 0 && key.request.Since.IsZero() {
				start.note = fmt.Sprintf("; the node has %d lines of it, fewer than %d", found.lines, n)
			}
			return start, nil
		}
		before = found
		ask = min(max(2*ask, min(10*ask, ask*(n+2)/max(1, found.lines))), ask*left/max(1, found.bytes))
		if ask <= before.ask {
			return before.startWithin(key), nil
		}
	}
}

// foundTail is what a request for ask last lines has brought. Its zero value stands for no request.
type foundTail struct {
	ask int
	// first is the first line. lines counts those before tailKey.until, and last has the last of them.
	first cursor.Position
	lines int
	last  lastPositions
	// parts is how many parts of lines there are at most.
	parts int
	// bytes is how much was read. tooLong means that this was all that may be read, and the response has more.
	bytes   int
	tooLong bool
}

// read makes a request for ask last lines, and reads up to limit bytes of the response.
func (t *tails) read(ctx context.Context, guard *stallGuard, key tailKey, ask, limit int) (foundTail, error) {
	req := key.request
	req.Tail = &ask
	log, err := guard.open(ctx, t.source, req)
	if err != nil {
		return foundTail{}, fmt.Errorf("open log: %w", err)
	}
	defer log.Close()
	found := foundTail{ask: ask, last: newLastPositions(key.lines + 1)}
	limited := &io.LimitedReader{R: guard.reader(log), N: int64(limit)}
	at := cursor.Position{Cut: true}
	var stamps logline.Parser
	said := ""
	for lines := logline.NewReader(limited); ; {
		line, dropped, err := lines.Next()
		if err != nil && !errors.Is(err, io.EOF) {
			return found, fmt.Errorf("read log: %w", err)
		}
		switch nanos, message := stamps.Cut(line); {
		case nanos != 0:
			at.Advance(nanos, cursor.Checksum(message))
			found.add(at, len(line)+dropped, key.until)
		case len(line) > 0 && !logline.IsCutTimestamp(line):
			said = nodeText(message)
		}
		if err != nil {
			found.bytes, found.tooLong = limit-int(limited.N), limited.N == 0
			if found.parts == 0 && said != "" {
				return found, &nodeTextError{said}
			}
			return found, nil
		}
	}
}

func (f *foundTail) add(at cursor.Position, bytes int, until int64) {
	if f.parts == 0 {
		f.first = at
	}
	f.parts += 1 + bytes/storedWhole
	if until == 0 || at.Nanos < until {
		f.lines++
		f.last.add(at)
	}
}

// startWithin returns where to start when not all of the wanted lines were found: with the second line, for the first one may be
// a part.
func (f *foundTail) startWithin(key tailKey) tailStart {
	if f.tooLong && key.until == 0 {
		// As many parts are no more lines than that. The first part may be in a line.
		return tailStart{lines: key.lines, ask: key.lines, note: fmt.Sprintf("; its last %d lines are too long to look for their "+
			"beginning: there may be fewer, and the first one may not be whole", key.lines)}
	}
	start := tailStart{lines: max(0, f.lines-1), ask: f.ask + tailSlack}
	switch {
	case f.tooLong:
		start.lines, start.ask, start.since = 0, 0, logline.Time(key.until)
	case start.lines > 0:
		start.since = logline.Time(f.last.at(1).Nanos)
	case key.until != 0:
		start.since = logline.Time(key.until)
	default:
		start.since = logline.Time(f.first.Nanos + 1)
	}
	start.note = fmt.Sprintf("; %d of its last %d lines were found in its last %d MiB", start.lines, key.lines, f.bytes>>20)
	return start
}
