package follow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"pullwatch/internal/budget"
	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/cursor"
	"pullwatch/internal/podlog/logline"
)

// read opens the log once and queues its new lines. It returns nil when the response ended without an error.
func (r *runReader) read(ctx context.Context, req podlog.LogRequest) error {
	logCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	guard := newStallGuard(req.Follow, cancel)
	defer r.status.watchStall(guard, r.id)()

	req, err := r.locate(logCtx, req)
	if text, ok := errors.AsType[*nodeTextError](err); ok {
		r.dropRest()
		r.last = lastRequest{said: text.said}
		return nil
	}
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
	if req.Follow {
		if err := r.notifyBegin(ctx); err != nil {
			return err
		}
	}
	if err := r.resume(ctx, req.Follow); err != nil {
		return err
	}
	wasComplete := r.complete
	r.complete = false
	r.dropRest()
	r.last = lastRequest{search: cursor.NewSearch(r.progress.Position)}
	if err := r.copy(ctx, log, guard, req.Tail != nil, req.Since); err != nil {
		r.ends = 0
		return fmt.Errorf("read log: %w", err)
	}
	r.ends++
	if !req.Follow && !r.last.dated {
		r.complete = wasComplete
	}
	return nil
}

// breakOff notes that the log must be opened again. final says that the run had ended before the request. If the node then
// does not know the pod any more, what was read before stays complete.
func (r *runReader) breakOff(err error, final bool) {
	r.complete = r.complete && (err == nil || final && errors.Is(err, podlog.ErrUnknown))
	switch {
	case r.phase == neverOpened, errors.Is(err, errLost):
	case err != nil:
		r.phase = brokenOff
	case r.phase == opened:
		r.phase = endedEarly
	}
}

// resume is called when the log is open. If it had broken off before, a RESUMED notice says that it goes on: at once when the
// log is followed, even if it is silent; otherwise with the first new line, for the log may have none. It may also have none
// after the node has sent text in its place, and may do so again. When a run has ended, its log is read once more. That needs no
// notice.
func (r *runReader) resume(ctx context.Context, follow bool) error {
	phase := r.phase
	r.phase = opened
	switch {
	case phase == brokenOff:
		r.metrics.reopen(reopenError)
	case phase == endedEarly && follow:
		r.metrics.reopen(reopenEnd)
	default:
		return nil
	}
	r.resumedDue = true
	if !follow || r.last.said != "" {
		return nil
	}
	return r.notifyDue(ctx)
}

// copy queues the lines of an open log that have not been read before. tailed means that the log may begin between lines with
// the same timestamp. since is the moment that the log was opened at. Text without a timestamp is not the container's: a node
// sends it to say what happened to the log. flush is called before each read, so that lines do not wait while the log is silent.
func (r *runReader) copy(ctx context.Context, log io.Reader, guard *stallGuard, tailed bool, since time.Time) error {
	flush := func() error {
		if err := r.flush(ctx); err != nil {
			return err
		}
		return r.checkRun()
	}
	lines := logline.NewReader(&guardedReader{log: log, guard: guard, flush: flush})
	most := r.plan.maxLineBytes
	if r.matcher != nil {
		most = podlog.MaxFiltered
	}
	lines.Keep(r.plan.maxLineBytes, most, r.takeMemory, r.giveMemory)
	defer lines.Release()
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
		whole := lines.Whole()[len(line)-len(message):]
		whole = whole[:min(len(whole), podlog.MaxFiltered)]
		if nanos == 0 && (err == nil || !logline.IsCutTimestamp(line)) {
			if err == nil || errors.Is(err, io.EOF) {
				r.last.said = nodeText(message)
			}
			if err != nil {
				return r.end(ctx, err)
			}
			continue
		}
		if !r.last.dated && !since.IsZero() {
			r.last.said = "" // it is the end of a line whose beginning lies before the moment that the log was opened at
		}
		r.last.dated = true
		if err != nil {
			if r.last.search.IsPast(nanos) {
				lines.Release() // only gives back the memory: keepRest takes what the rest needs of it
				r.keepRest(&restLine{nanos: nanos, sum: cursor.Checksum(message), whole: whole, length: len(message) + dropped})
			}
			return r.end(ctx, err)
		}
		sum := cursor.Checksum(message)
		isNew, lost := r.last.search.IsNew(nanos, sum)
		if !isNew {
			r.lost = r.lost && !r.last.found()
			continue
		}
		if r.wanted == 0 {
			return r.end(ctx, io.EOF)
		}
		if err := r.notifyDue(ctx); err != nil {
			return err
		}
		if lost {
			if err := r.lostLine(ctx); err != nil {
				return err
			}
		}
		if err := r.tellUnseen(ctx, nanos, len(whole), len(message)+dropped); err != nil {
			return err
		}
		live := nanos >= r.liveFrom
		if live != r.writer.Live || r.writer.Full(len(whole), r.limit) {
			if err := flush(); err != nil {
				return err
			}
			r.writer.Live = live
		}
		r.wanted--
		r.advance(nanos, sum)
		if err := r.add(ctx, nanos, whole, len(message)+dropped); err != nil {
			return err
		}
	}
}

func (r *runReader) takeMemory(bytes int) bool { return r.account.Take(budget.Logs, bytes) == nil }

func (r *runReader) giveMemory(bytes int) { r.account.Give(budget.Logs, bytes) }

// errLost means that our last line was not found for the first time.
var errLost = errors.New("last line is not in the log")

// lostLine is called when our last line is not in the log. The first time, the container may have been restarted, and the log
// be that of another run, which its status does not show yet: errLost makes the caller look again. If the line is not there
// then either, lostLine sends a GAP.
func (r *runReader) lostLine(ctx context.Context) error {
	if !r.lost {
		r.lost = true
		return errLost
	}
	r.lost = false
	return r.notifyGap(ctx, gapRotated, rotatedAway)
}

// end is called at the end of the response, with the error of its last read. It returns nil for io.EOF.
func (r *runReader) end(ctx context.Context, err error) error {
	r.complete = r.last.found() && r.last.rest == nil && r.last.said == "" && errors.Is(err, io.EOF)
	if err := r.flush(ctx); err != nil {
		return err
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
