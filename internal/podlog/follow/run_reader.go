package follow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/cursor"
	"pullwatch/internal/podlog/filter"
	"pullwatch/internal/podlog/logline"
	"pullwatch/internal/podlog/queue"
)

// Reasons for opening a log again, as metrics count them.
const (
	reopenEnd   = "end"
	reopenError = "error"
)

// runReader reads the log of one run, through as many requests as it takes, and hands its lines over.
type runReader struct {
	*follower
	id string
	// opened means that the log could be opened before, perhaps by the stream that Input.After is of.
	opened bool
	// broken says why the log is opened again; empty when it is not.
	broken string
	// resumes means that it must be told that the log goes on.
	resumes bool
	// complete means that the last request reached the end of the log, with whole lines, and contained our last line. If an
	// ended run's log comes back empty, the node has deleted it, and complete keeps its value. The request before had
	// reached the end at most endGrace before the run was known to have ended. That counts as the run's end.
	complete bool
	// ended means that the last request ended without an error, again that the one before it did, too. found means that
	// the last request contained our last line.
	ended, again, found bool
	// dated means that the last request brought a timestamp, or the beginning of one. Otherwise it brought what a node
	// says in place of the log.
	dated bool
	// before is how far the log was read before the last request.
	before cursor.Position
	// moved means that the queue does not know of the last lines that were read.
	moved bool
	// lost means that the last line was not found in the log the last time.
	lost bool
	// rest is a line without its end that the last request stopped in. It is a line only when no other request
	// brings the whole of it.
	rest *restLine

	writer  queue.Writer
	matcher *filter.Matcher
	// limit is how many bytes a chunk may have.
	limit int
	// liveFrom is when the log was opened, in nanoseconds since 1970: later lines are live.
	liveFrom int64
}

type restLine struct {
	nanos   int64
	message []byte
	dropped int
}

func newRunReader(f *follower, run podlog.Run) *runReader {
	return &runReader{
		follower: f, id: run.ID, opened: !f.progress.Position.IsZero(), matcher: filter.NewMatcher(f.plan.include, f.plan.exclude, f.matching, f.plan.caller),
	}
}

// read opens the log once and hands over what is new in it. It returns nil when the log ended as it should.
func (r *runReader) read(ctx context.Context, req podlog.LogRequest) error {
	logCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	guard := newStallGuard(cancel)
	defer r.status.watchStall(guard, r.id)()
	if !req.Follow {
		guard.expectEnd()
	}

	req, err := r.locate(logCtx, guard, req)
	if err != nil {
		return err
	}
	r.liveFrom = time.Now().UnixNano()
	if !req.Follow {
		r.liveFrom = math.MaxInt64
	}
	log, err := guard.open(logCtx, r.source, req)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	defer log.Close()
	r.metrics.logs.Inc()
	defer r.metrics.logs.Dec()
	if err := r.resume(ctx, req.Follow); err != nil {
		return err
	}
	r.again, r.before = r.ended, r.progress.Position
	wasComplete := r.complete
	r.opened, r.ended, r.complete, r.dated, r.rest = true, false, false, false, nil
	if err := r.copy(ctx, log, guard, req.Tail != nil); err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	r.ended = true
	if !req.Follow && !r.dated {
		r.complete = wasComplete
	}
	return nil
}

// breakOff notes that the log must be opened again. final says that its run had ended. A node that does not know the pod
// any more then takes nothing from what was read before.
func (r *runReader) breakOff(err error, final bool) {
	r.complete = r.complete && (err == nil || final && errors.Is(err, podlog.ErrUnknown))
	switch {
	case !r.opened, errors.Is(err, errLost):
	case err != nil:
		r.broken = reopenError
	case r.broken == "":
		r.broken = reopenEnd
	}
}

// resume is called when a log that had broken off is open again. One that is followed goes on, even if it is silent. Of
// one that has ended that is told with the first line that is new: it may have been read to its end before. A log that
// came to its end is read once more when its run has ended; that is no news.
func (r *runReader) resume(ctx context.Context, follow bool) error {
	broken := r.broken
	r.broken = ""
	if broken == "" || broken == reopenEnd && !follow {
		return nil
	}
	r.resumes = true
	r.metrics.reopen(broken)
	if !follow {
		return nil
	}
	return r.tellResumed(ctx)
}

// tellResumed tells that the log goes on, if that is to be told.
func (r *runReader) tellResumed(ctx context.Context) error {
	if !r.resumes {
		return nil
	}
	r.resumes = false
	r.told = ""
	return r.notify(ctx, podlog.Resumed, "its log was opened again and goes on behind the last line")
}

// copy hands over the lines of an open log that have not been read before. tailed means that the log may begin within
// lines of the same timestamp.
func (r *runReader) copy(ctx context.Context, log io.Reader, guard *stallGuard, tailed bool) error {
	flush := func() error {
		if err := r.flush(ctx); err != nil {
			return err
		}
		return r.checkRun()
	}
	lines := logline.NewReader(&guardedReader{log: log, guard: guard, flush: flush})
	var stamps logline.Parser
	search := cursor.NewSearch(r.progress.Position)
	r.progress.Position.Cut = r.progress.Position.Cut || tailed && r.progress.Position.IsZero()
	r.limit = r.queue.ChunkLimit()
	defer r.matcher.Pause()
	for {
		line, dropped, err := lines.Next()
		if err != nil && len(line) == 0 {
			return r.end(ctx, search.Over, err)
		}
		nanos, message := stamps.Cut(line)
		r.dated = r.dated || nanos != 0 || err != nil && logline.IsCutTimestamp(line)
		if err != nil {
			if search.Passes(nanos) {
				r.rest = &restLine{nanos: nanos, message: message, dropped: dropped}
			}
			return r.end(ctx, search.Over, err)
		}
		sum := cursor.Checksum(message)
		isNew, lost := search.IsNew(nanos, sum)
		if !isNew {
			continue
		}
		if err := r.tellResumed(ctx); err != nil {
			return err
		}
		if lost {
			if err := r.tellLost(ctx); err != nil {
				return err
			}
		}
		live := nanos >= r.liveFrom
		if live != r.writer.Live || r.writer.Full(len(message), r.limit) {
			if err := flush(); err != nil {
				return err
			}
			r.writer.Live = live
		}
		r.advance(nanos, sum)
		if err := r.add(ctx, nanos, message, dropped); err != nil {
			return err
		}
	}
}

// errLost means that the last line was not found.
var errLost = errors.New("last line is not in the log")

const rotatedAway = "the last line was rotated away, and perhaps others behind it"

// tellLost is called when the last line is not in the log any more. The first time that may be because the container was
// restarted, which the API server does not know yet: then it is the log of another run.
func (r *runReader) tellLost(ctx context.Context) error {
	if r.lost = !r.lost; r.lost {
		return errLost
	}
	return r.tellGap(ctx, gapRotated, rotatedAway)
}

// end is called at the end of a log. found says whether it came past what had been read before.
func (r *runReader) end(ctx context.Context, found bool, err error) error {
	r.found = found
	r.complete = found && r.rest == nil && errors.Is(err, io.EOF)
	if err := r.flush(ctx); err != nil {
		return err
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// advance moves the position behind a line. A line without a timestamp among others is not the container's: it says
// what happened to the log, and will not be there the next time.
func (r *runReader) advance(nanos int64, sum uint32) {
	if nanos != 0 || r.progress.Position.Nanos == 0 {
		r.progress.Position.Advance(nanos, sum)
	}
	r.moved = true
}

// add hands one line to the writer. Its error is ctx's.
func (r *runReader) add(ctx context.Context, nanos int64, message []byte, dropped int) error {
	if nanos == 0 {
		nanos = r.progress.Position.Nanos
	}
	timestamp := logline.Time(nanos)
	switch {
	case nanos == 0:
		timestamp = time.Now().UTC()
	case timestamp.Before(r.since):
		return nil
	}
	line := podlog.Line{Pod: r.container.Pod, Container: r.container.Name, Timestamp: timestamp, TruncatedBytes: dropped}
	return r.writer.Add(ctx, line, r.progress.Position, message, r.matcher)
}

// addRest hands over what was left of the last line. While the run goes on it may be the beginning of a line, which
// another stream will read as a whole. When the log is not complete, it may not even be a whole timestamp, or
// not follow the last line, or be of a later run.
func (r *runReader) addRest(ctx context.Context, goesOn, complete bool) error {
	rest := r.rest
	r.rest = nil
	if rest == nil {
		return nil
	}
	if !complete && !goesOn && (rest.nanos == 0 || !r.found || len(r.laterRunsAt(r.status.get(), rest.nanos)) > 0) {
		return nil
	}
	if err := r.tellResumed(ctx); err != nil {
		return err
	}
	if !r.found {
		if err := r.tellGap(ctx, gapRotated, rotatedAway); err != nil {
			return err
		}
	}
	if !goesOn {
		r.advance(rest.nanos, cursor.Checksum(rest.message))
	}
	if err := r.add(ctx, rest.nanos, rest.message, rest.dropped); err != nil {
		return err
	}
	return r.flush(ctx)
}

// flush queues what has been collected and moves the container's progress behind all that was read.
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
		r.queue.Pass(r.container, r.progress)
	}
	return nil
}
