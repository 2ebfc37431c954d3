package follow

import (
	"context"
	"time"
	"unsafe"

	"pullwatch/internal/budget"
	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/cursor"
)

// tail is Input.TailLines for one follower.
type tail struct {
	lines int
	// begun is Cursor.Begun: the last lines are those that the log had then.
	begun time.Time
	// resumed means that an earlier stream may have opened the log.
	resumed bool
}

// startAtTail moves the position to the line before the last r.tail.lines, and makes req give these. They are the last ones that
// the log has now or, if it was opened before, had when the stream began.
func (r *runReader) startAtTail(ctx context.Context, req *podlog.LogRequest) error {
	opens := r.phase == neverOpened && !r.tail.resumed
	switch {
	case r.tail.lines == 0 && opens:
		req.Tail = &r.tail.lines
		return nil
	case r.tail.lines == 0:
		r.since, r.tail = r.begins(), nil
		return nil
	}
	// A search compares two responses.
	memory := 2 * (r.tail.lines + 1) * int(unsafe.Sizeof(cursor.Position{}))
	if err := r.account.Take(budget.Logs, memory); err != nil {
		return err
	}
	defer r.account.Give(budget.Logs, memory)
	key := tailKey{request: *req, lines: r.tail.lines}
	if !opens {
		key.until = r.tail.begun.UnixNano()
	}
	start, err := r.tails.find(ctx, key)
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
	if opens && !r.plan.follow && !req.Ended {
		r.wanted = start.lines
	}
	return nil
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
