package podlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"pullwatch/logstamp"
)

// settle returns the container's status once it is known that the last line was written by the run that the mark names.
// A cluster gives the log of the run that there is when it is asked, which its status may show only afterwards: what is
// read as a run's log may be that of a later one. Then settle moves the mark there, and tells that the log of the run
// before was not read.
func (f *follower) settle(ctx context.Context) (containerStatus, error) {
	retry := retry{backoff: minBackoff}
	for {
		s := f.status.get()
		err := f.adopt(ctx, s)
		switch {
		case ctx.Err() != nil:
			return s, ctx.Err()
		case isUserError(err):
			return s, err
		case err == nil || f.mark == f.unsettled:
			return s, nil
		}
		f.logger.DebugContext(ctx, "pod log cannot be told from that of a later run", "pod", f.lane.pod,
			"container", f.lane.container, "error", err)
		retry.failures++
		if retry.failures == maxAttempts {
			f.unsettled = f.mark
		}
		if err := f.status.await(ctx, retry.next()); err != nil {
			return s, err
		}
	}
}

// laterRuns returns the runs that may have written the last line that was read, although the mark names an earlier one.
func (f *follower) laterRuns(s containerStatus) []Run {
	last := f.mark.position.nanos
	if f.plan.previous || last == 0 {
		return nil
	}
	return slices.DeleteFunc(f.runs(s), func(run Run) bool {
		return run.Restarts <= f.mark.restarts || run.NeverStarted || run.Started.IsZero() ||
			time.Unix(0, last).Before(run.Started)
	})
}

// adopt moves the mark to the later run that wrote the last line, if there is one, and tells of the runs before it.
func (f *follower) adopt(ctx context.Context, s containerStatus) error {
	if s.gone {
		return nil
	}
	for _, run := range f.laterRuns(s) {
		wrote, err := f.wrote(ctx, s, run)
		if err != nil {
			return fmt.Errorf("look for the last line in the log of a later run: %w", err)
		}
		if wrote {
			missed := run.Restarts - f.mark.restarts
			f.mark.run, f.mark.restarts, f.mark.done = newRunKey(run.ID), run.Restarts, false
			return f.tellMissedRuns(ctx, missed)
		}
	}
	return nil
}

// wrote reports whether the log of a run has the last line that was read, or has had it: the line may have been rotated
// away when it is certainly not older than the run, whose start may be known to the second only.
func (f *follower) wrote(ctx context.Context, s containerStatus, run Run) (bool, error) {
	req := newRunReader(f, run).request(s)
	req.Follow = false
	req.Since = f.mark.position.second()
	ctx, cancel := context.WithTimeout(ctx, stallLimit)
	defer cancel()
	log, err := f.source.OpenLog(ctx, req)
	switch {
	case errors.Is(err, ErrNoLog), errors.Is(err, ErrGone):
		return false, nil
	case err != nil:
		return false, err
	}
	defer log.Close()
	search := newSearch(f.mark.position)
	var stamps logstamp.Parser
	for lines := newLineReader(log); ; {
		line, _, err := lines.next()
		switch {
		case errors.Is(err, io.EOF):
			return false, nil
		case err != nil:
			return false, err
		}
		nanos, message := stamps.Cut(line)
		isNew, _ := search.isNew(nanos, checksum(message))
		if isNew || search.over {
			certain := time.Unix(0, f.mark.position.nanos).Sub(run.Started) >= time.Second
			return !isNew || certain, nil
		}
	}
}
