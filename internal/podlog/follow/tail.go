package follow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
	"unsafe"

	"pullwatch/internal/budget"
	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/cursor"
	"pullwatch/internal/podlog/logline"
)

// tail is Input.TailLines for one follower.
type tail struct {
	lines int
	// begun is Cursor.Begun: the last lines are those that the log had then.
	begun time.Time
	// resumed means that an earlier stream may have opened the log.
	resumed bool
}

// startAtTail moves the position to the line before the last r.tail.lines that the log has now, and makes req give these.
func (r *runReader) startAtTail(ctx context.Context, guard *stallGuard, req *podlog.LogRequest) error {
	memory := (r.tail.lines + 1) * int(unsafe.Sizeof(cursor.Position{}))
	if err := r.account.Take(budget.Logs, memory); err != nil {
		return err
	}
	defer r.account.Give(budget.Logs, memory)
	start, err := r.tails.find(ctx, guard, *req, r.tail.lines)
	if err != nil {
		return err
	}
	r.tail, r.progress.Position, r.openedNote = nil, start.before, start.note
	if !start.since.IsZero() {
		r.since = start.since
	}
	if start.ask > 0 {
		req.Tail = &start.ask
	}
	if !r.plan.follow && !req.Ended {
		r.wanted = start.lines
	}
	return nil
}

// skipToTail moves the position to the line before the last r.tail.lines that the log had when the stream began. It reads the
// log to find that line: the last lines of now would be later ones.
func (r *runReader) skipToTail(ctx context.Context, guard *stallGuard, req podlog.LogRequest) error {
	if r.tail.lines == 0 {
		r.since, r.tail = r.begins(), nil
		return nil
	}
	req.Follow = false
	log, err := guard.open(ctx, r.source, req)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	defer log.Close()
	p, err := locateTail(guard.reader(log), *r.tail)
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	r.tail, r.progress.Position = nil, p
	return nil
}

// locateTail returns the position before the last lines that a log had when t begun; zero when it had no more.
func locateTail(log io.Reader, t tail) (cursor.Position, error) {
	last := newLastPositions(t.lines + 1)
	var at cursor.Position
	var stamps logline.Parser
	begun := t.begun.UnixNano()
	for lines := logline.NewReader(log); ; {
		line, _, err := lines.Next()
		if err != nil && !errors.Is(err, io.EOF) {
			return cursor.Position{}, err
		}
		nanos, message := stamps.Cut(line)
		switch {
		case err == nil && nanos == 0:
			continue
		case err == nil && nanos < begun:
			at.Advance(nanos, cursor.Checksum(message))
			last.add(at)
		case last.full():
			return last.oldest(), nil
		default:
			return cursor.Position{}, nil
		}
	}
}

// lastPositions keeps the last ones of many positions.
type lastPositions struct {
	// kept is a ring: once it is full, next is its oldest.
	kept []cursor.Position
	next int
}

// newLastPositions returns lastPositions that keep n, at least 1.
func newLastPositions(n int) lastPositions { return lastPositions{kept: make([]cursor.Position, 0, n)} }

func (l *lastPositions) add(p cursor.Position) {
	if !l.full() {
		l.kept = append(l.kept, p)
		return
	}
	l.kept[l.next] = p
	l.next = (l.next + 1) % len(l.kept)
}

func (l *lastPositions) full() bool { return len(l.kept) == cap(l.kept) }

// oldest returns the oldest of those that are kept; zero when there are none.
func (l *lastPositions) oldest() cursor.Position { return l.at(0) }

// at returns the i-th of those that are kept, the oldest one first; zero when there are fewer.
func (l *lastPositions) at(i int) cursor.Position {
	if i >= len(l.kept) {
		return cursor.Position{}
	}
	return l.kept[(l.next+i)%len(l.kept)]
}
