package follow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/cursor"
	"pullwatch/internal/podlog/logline"
)

// correctRun finds out which run wrote the last line that was read, and returns the container's status. A cluster gives the
// log of the run that is current at the request. The status may show that run only later. So the log that was read for one
// run may be that of a later run. Then correctRun moves the progress to the later run, and a GAP says that the log of the
// run before was not read. It does the same when the last run has ended and its log cannot be read: then no line can come
// twice or out of order. While the last run goes on, correctRun tries again.
func (f *follower) correctRun(ctx context.Context) (containerStatus, error) {
	backoff := newBackoff()
	for {
		s := f.status.get()
		later := f.laterRuns(s)
		run, err := f.lastWriter(ctx, s, later)
		if err != nil && ctx.Err() == nil && !isUserError(err) {
			f.logger.DebugContext(ctx, "pod log cannot be told from that of a later run", "pod", f.container.Pod,
				"container", f.container.Name, "error", err)
			backoff.failures++
			switch last := later[len(later)-1]; {
			case backoff.failures < maxFailures:
			case errors.Is(err, errReplaced), errors.Is(err, errOwnLog):
				err = nil
			case !last.Running || !f.plan.follow:
				run, err = last, nil
			}
		}
		switch {
		case ctx.Err() != nil:
			return s, ctx.Err()
		case isUserError(err):
			return s, err
		case err == nil && run.ID != "":
			return s, f.moveTo(ctx, run)
		case err == nil:
			return s, nil
		}
		if backoff.failures > 1 && !errors.Is(err, errReplaced) {
			if err := f.notifyWaiting(ctx, tryingAgain); err != nil {
				return s, err
			}
		}
		if err := f.status.await(ctx, backoff.next()); err != nil {
			return s, err
		}
		if err := f.spreadRecovery(ctx, &backoff, s.recoveries); err != nil {
			return s, err
		}
	}
}

var (
	// errReplaced means that the log that was given for the last run, which has ended, may be that of the next one.
	errReplaced = errors.New("last run may have been replaced")
	// errOwnLog means that the log of the run that the progress names cannot be read.
	errOwnLog = errors.New("log of the run itself cannot be read")
	// errUndecided means that no log shows the last line, and that of the last run may not have been its own.
	errUndecided = errors.New("last line is in no log")
)

// lastWriter returns which of the later runs wrote the last line. It returns none if the run in the progress did, or if the
// logs are gone. It asks for the latest run first, for which a cluster never gives an older log. For the run before, a
// cluster may give the log of the latest run.
func (f *follower) lastWriter(ctx context.Context, s containerStatus, later []podlog.Run) (podlog.Run, error) {
	if len(later) == 0 || s.gone {
		return podlog.Run{}, nil
	}
	var likely, rotated, unreadable podlog.Run
	var replaced error
	for _, run := range slices.Backward(f.runs(s)) {
		own := cursor.NewRunKey(run.ID) == f.progress.Run
		if !own && !slices.Contains(later, run) {
			continue
		}
		seen, err := f.findLastLine(ctx, s, run)
		switch {
		case err != nil && own:
			return podlog.Run{}, fmt.Errorf("%w: %w", errOwnLog, err)
		case err != nil:
			return podlog.Run{}, fmt.Errorf("look for the last line in the log of a run: %w", err)
		case seen == seenLine && own && likely.ID == "":
			return podlog.Run{}, replaced
		case seen == seenLine && own:
			return likely, nil
		case seen == seenLine:
			return run, nil
		case !own && f.progress.Position.IsAfter(run.Started):
			likely = run
		case !own && seen == seenLater:
			rotated = run
		case !own && seen == seenRemoved:
			unreadable = run
		case own && seen == seenNothing && rotated.ID != "":
			// Its own log ends before the line.
			return rotated, nil
		case seen == seenNothing && run.ID == s.Run.ID && !run.Running && !s.over:
			replaced = errReplaced
		}
	}
	switch {
	case likely.ID != "":
		return likely, nil
	case unreadable.ID == "" && replaced != nil:
		return podlog.Run{}, errUndecided
	default:
		return unreadable, nil
	}
}

// moveTo moves the progress to the later run that wrote the last line. A GAP counts the runs before it. After an ENDED of the run
// before, STARTED says that lines of another run follow.
func (f *follower) moveTo(ctx context.Context, run podlog.Run) error {
	missed, ended := run.Restarts-f.progress.Restarts, f.progress.Done || f.left
	f.left = false
	f.progress.Run, f.progress.Restarts, f.progress.Done = cursor.NewRunKey(run.ID), run.Restarts, false
	if err := f.notifyMissedRuns(ctx, missed); err != nil || !ended {
		return err
	}
	return f.notifyStarted(ctx, "")
}

// sighting is what the log of a run shows of the last line that was read.
type sighting int

const (
	// seenNothing means that neither the line nor a later one is in the log.
	seenNothing sighting = iota
	// seenLine means that the line is there.
	seenLine
	// seenLater means that later lines are there, and the line is not: it has been rotated away, if it was there.
	seenLater
	// seenRemoved means that the node has deleted the log, and sends a message in its place.
	seenRemoved
)

// findLastLine looks for the last line that was read in the log of a run.
func (f *follower) findLastLine(ctx context.Context, s containerStatus, run podlog.Run) (sighting, error) {
	r := newRunReader(f, run)
	req := r.request(s)
	req.Follow = false
	req.Since = f.progress.Position.Second()
	ctx, cancel := context.WithTimeout(ctx, stallLimit)
	defer cancel()
	log, err := f.source.OpenLog(ctx, req)
	switch {
	case errors.Is(err, podlog.ErrNoLog), errors.Is(err, podlog.ErrGone):
		return seenNothing, nil
	case err != nil:
		return seenNothing, err
	}
	defer log.Close()
	var nanos int64
	var sum uint32
	var stamps logline.Parser
	search := cursor.NewSearch(f.progress.Position)
read:
	for lines := logline.NewReader(log); ; {
		line, _, err := lines.Next()
		if err != nil && !errors.Is(err, io.EOF) {
			return seenNothing, err
		}
		if len(line) > 0 {
			var message []byte
			nanos, message = stamps.Cut(line)
			sum = cursor.Checksum(message)
			switch isNew, _ := search.IsNew(nanos, sum); {
			case isNew:
				return seenLater, nil
			case search.Past:
				return seenLine, nil
			}
		}
		if err != nil {
			break read
		}
	}
	// The response may have been cut off.
	switch lastNanos, lastSum, err := r.lastLine(ctx, req); {
	case err != nil:
		return seenNothing, err
	case lastNanos == 0 && lastSum != 0:
		return seenRemoved, nil
	case lastNanos != nanos || lastSum != sum:
		return seenNothing, errCutOff
	default:
		return seenNothing, nil
	}
}
