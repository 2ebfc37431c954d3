package follow

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/cursor"
	"pullwatch/internal/podlog/filter"
	"pullwatch/internal/podlog/logline"
	"pullwatch/internal/podlog/queue"
)

// runReader reads the log of one run, with as many requests as that takes, and queues its lines.
type runReader struct {
	*follower
	id    string
	phase logPhase
	// openedNote is what is to be said of the log when it is open, such as that it has fewer lines than were asked for.
	openedNote string
	// fresh means that no line of this run was read before. begun means that the reader knows that lines of this run follow.
	fresh, begun bool
	// wanted is how many lines more are wanted of a run that goes on and is not followed; negative for all that there are.
	wanted int
	// resumedDue means that a RESUMED notice is due before the next new line.
	resumedDue bool
	// complete means that the last request reached the end of the log, with whole lines, and contained our last line. If an
	// ended run's log comes back empty, the node has deleted it, and complete keeps its value. The request before had
	// reached the end at most endGrace before the run was known to have ended. That counts as the run's end.
	complete bool
	// last is what the last request that could be opened has brought. ends counts how many of these in a row, up to the last
	// one, have ended without an error.
	last lastRequest
	ends int
	// lost means that the last line was missing, and has not been found again since: the log may have been that of another
	// run. If the line is missing once more, it was rotated away.
	lost bool
	// moved means that the queue does not know of the last lines that were read.
	moved bool

	writer  queue.Writer
	matcher *filter.Matcher
	// toldUnseen means that the reader knows that the filters have not looked at all of a line.
	toldUnseen bool
	// limit is how many bytes a chunk may have.
	limit int
	// liveFrom is the timestamp, in nanoseconds since 1970, from which on lines are live: when the log was opened, or when
	// history was last queued.
	liveFrom int64
}

// logPhase says how requests for the log have gone so far.
type logPhase int

const (
	// neverOpened means that no request could be opened, neither by this stream nor by the one that Input.After is of.
	neverOpened logPhase = iota
	// opened means that the last request was opened, and did not break off.
	opened
	// endedEarly means that the last request came to an end while the run went on.
	endedEarly
	// brokenOff means that the last request failed.
	brokenOff
)

// lastRequest is what one request has brought.
type lastRequest struct {
	// search finds the line up to which the log had been read before the request.
	search cursor.Search
	// dated means that there was a timestamp, or the beginning of one.
	dated bool
	// said is what the node has sent in place of the log, or of the rest of it: text without a timestamp.
	said string
	// rest is a line without its end that the request stopped in. It is a line only when no other request brings the whole
	// of it.
	rest *restLine
}

// found reports whether the request has come to the line up to which the log had been read.
func (l *lastRequest) found() bool { return l.search.Past }

// restLine is a line: its timestamp and checksum, its message as far as that was kept, and the length of all of that. memory is
// how many bytes are taken for whole.
type restLine struct {
	nanos  int64
	sum    uint32
	whole  []byte
	length int
	memory int
}

// keepRest keeps a rest. What filters alone need of it is kept only if there is memory for it. The caller calls dropRest.
func (r *runReader) keepRest(rest *restLine) {
	r.dropRest()
	if n := cap(rest.whole); len(rest.whole) > r.plan.maxLineBytes && r.takeMemory(n) {
		rest.memory = n
	} else {
		rest.whole = bytes.Clone(rest.whole[:min(len(rest.whole), r.plan.maxLineBytes)])
	}
	r.last.rest = rest
}

// dropRest drops the rest, if there is one.
func (r *runReader) dropRest() {
	if rest := r.last.rest; rest != nil {
		r.giveMemory(rest.memory)
		r.last.rest = nil
	}
}

func newRunReader(f *follower, run podlog.Run) *runReader {
	r := &runReader{
		follower: f, id: run.ID, fresh: f.progress.Position.IsZero(), wanted: -1,
		writer:  queue.Writer{MaxLineBytes: f.plan.maxLineBytes},
		matcher: filter.NewMatcher(f.plan.include, f.plan.exclude, f.matching, f.plan.caller),
	}
	if !f.progress.Position.IsZero() {
		r.phase = opened
	}
	return r
}

// notifyBegin says, once there is a log, that lines of the run follow, or when the pod has come back, that they go on.
func (r *runReader) notifyBegin(ctx context.Context) error {
	if r.begun {
		return nil
	}
	left := r.left
	r.begun, r.left = true, false
	switch {
	case r.fresh:
		return r.notifyStarted(ctx, r.openedNote)
	case left:
		return r.notifyResumed(ctx)
	}
	return nil
}

// notifyDue says what is to be said before a new line: that lines follow, or that they go on.
func (r *runReader) notifyDue(ctx context.Context) error {
	if err := r.notifyBegin(ctx); err != nil {
		return err
	}
	if !r.resumedDue {
		return nil
	}
	r.resumedDue = false
	r.lastWaiting = ""
	return r.notifyResumed(ctx)
}

// advance moves the position behind a line.
func (r *runReader) advance(nanos int64, sum uint32) {
	r.progress.Position.Advance(nanos, sum)
	r.moved = true
}

// add gives one line to the writer. whole is its message as far as that was kept, of which length bytes were written. Its error
// is ctx's.
func (r *runReader) add(ctx context.Context, nanos int64, whole []byte, length int) error {
	timestamp := logline.Time(nanos)
	if timestamp.Before(r.since) {
		return nil
	}
	line := podlog.Line{Pod: r.container.Pod, Container: r.container.Name, Timestamp: timestamp}
	return r.writer.Add(ctx, line, r.progress.Position, whole, length, r.matcher)
}

// tellUnseen says, once for each run, that the filters look only at the first seen bytes of a line of length bytes. The position
// is still before that line, so that a cursor of the GAP does not leave the line out.
func (r *runReader) tellUnseen(ctx context.Context, nanos int64, seen, length int) error {
	if seen >= length || r.matcher == nil || r.toldUnseen || logline.Time(nanos).Before(r.since) {
		return nil
	}
	r.toldUnseen = true
	if err := r.flush(ctx); err != nil {
		return err
	}
	return r.notifyGap(ctx, gapLong, fmt.Sprintf("include and exclude looked only at the first %d of the %d bytes of a line, and perhaps "+
		"of others", seen, length))
}

// addRest queues the rest, which may be the beginning of a line. While the run goes on, the position stays before it, so that
// another stream reads the whole line. A part of a timestamp is left out. When the log is not complete, so is a rest that may
// not follow our last line, or be of a later run.
func (r *runReader) addRest(ctx context.Context, goesOn, complete bool) error {
	rest := r.last.rest
	defer r.dropRest()
	if rest == nil || rest.nanos == 0 {
		return nil
	}
	if !complete && !goesOn && (!r.last.found() || len(r.laterRunsAt(r.status.get(), rest.nanos)) > 0) {
		return nil
	}
	if err := r.notifyDue(ctx); err != nil {
		return err
	}
	if !r.last.found() {
		if err := r.notifyGap(ctx, gapRotated, rotatedAway); err != nil {
			return err
		}
	}
	if err := r.tellUnseen(ctx, rest.nanos, len(rest.whole), rest.length); err != nil {
		return err
	}
	if !goesOn {
		r.advance(rest.nanos, rest.sum)
	}
	if err := r.add(ctx, rest.nanos, rest.whole, rest.length); err != nil {
		return err
	}
	return r.flush(ctx)
}

// flush queues the lines of the writer, and moves the container's progress behind all lines that were read.
func (r *runReader) flush(ctx context.Context) error {
	r.matcher.Pause()
	if !r.writer.Empty() {
		r.limit = r.queue.ChunkLimit()
		r.moved = false
		live := r.writer.Live
		err := r.queue.Push(ctx, r.container, r.writer.Flush(r.progress))
		if !live {
			r.liveFrom = max(r.liveFrom, time.Now().UnixNano())
		}
		return err
	}
	if r.moved {
		r.moved = false
		r.queue.Advance(r.container, r.progress)
	}
	return nil
}

const rotatedAway = "the last line was rotated away, and perhaps others behind it"
