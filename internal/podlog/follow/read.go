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
	"pullwatch/internal/podlog/logline"
)

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
	wasComplete := r.complete
	r.complete = false
	r.last = lastRequest{search: cursor.NewSearch(r.progress.Position)}
	if err := r.copy(ctx, log, guard, req.Tail != nil); err != nil {
		r.ends = 0
		return fmt.Errorf("read log: %w", err)
	}
	r.ends++
	if !req.Follow && !r.last.dated {
		r.complete = wasComplete
	}
	return nil
}

// breakOff notes that the log must be opened again. final says that its run had ended. A node that does not know the pod
// any more then takes nothing from what was read before.
func (r *runReader) breakOff(err error, final bool) {
	r.complete = r.complete && (err == nil || final && errors.Is(err, podlog.ErrUnknown))
	switch {
	case r.state == neverOpened, errors.Is(err, errLost):
	case err != nil:
		r.state = brokenOff
	case r.state == opened:
		r.state = endedEarly
	}
}

// resume is called when a log that had broken off is open again. One that is followed goes on, even if it is silent. Of
// one that has ended that is told with the first line that is new: it may have been read to its end before. A log that
// came to its end is read once more when its run has ended; that is no news.
func (r *runReader) resume(ctx context.Context, follow bool) error {
	state := r.state
	r.state = opened
	switch {
	case state == brokenOff:
		r.metrics.reopen(reopenError)
	case state == endedEarly && follow:
		r.metrics.reopen(reopenEnd)
	default:
		return nil
	}
	r.resumedDue = true
	if !follow {
		return nil
	}
	return r.tellResumed(ctx)
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
	r.progress.Position.Cut = r.progress.Position.Cut || tailed && r.progress.Position.IsZero()
	r.limit = r.queue.ChunkLimit()
	defer r.matcher.Pause()
	for {
		line, dropped, err := lines.Next()
		if err != nil && len(line) == 0 {
			return r.end(ctx, err)
		}
		nanos, message := stamps.Cut(line)
		r.last.dated = r.last.dated || nanos != 0 || err != nil && logline.IsCutTimestamp(line)
		if err != nil {
			if r.last.search.IsPast(nanos) {
				r.last.rest = &restLine{nanos: nanos, message: message, dropped: dropped}
			}
			return r.end(ctx, err)
		}
		sum := cursor.Checksum(message)
		isNew, lost := r.last.search.IsNew(nanos, sum)
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

// tellLost is called when the last line is not in the log any more. The first time that may be because the container was
// restarted, which the API server does not know yet: then it is the log of another run.
func (r *runReader) tellLost(ctx context.Context) error {
	if r.lost = !r.lost; r.lost {
		return errLost
	}
	return r.tellGap(ctx, gapRotated, rotatedAway)
}

// end is called at the end of a log.
func (r *runReader) end(ctx context.Context, err error) error {
	r.complete = r.last.found() && r.last.rest == nil && errors.Is(err, io.EOF)
	if err := r.flush(ctx); err != nil {
		return err
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
