package follow

import (
	"context"
	"slices"

	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/cursor"
)

// run streams the container until it will not run again. Without Input.Follow, it streams only what there is now. It returns
// an error that ends the stream, or ctx's.
func (f *follower) run(ctx context.Context) error {
	for {
		s, err := f.correctRun(ctx)
		if err != nil {
			return err
		}
		run, err := f.nextRun(ctx, s)
		if err != nil {
			return err
		}
		if run.ID != "" {
			if !f.placed {
				if err := f.awaitPlace(ctx, run); err != nil {
					return err
				}
				continue
			}
			if err := f.readRun(ctx, run); err != nil || !f.progress.Done && f.progress.Run == cursor.NewRunKey(run.ID) {
				return err
			}
			continue
		}
		if f.plan.previous {
			if f.progress.Run != 0 {
				return nil
			}
			return f.notifyWaiting(ctx, "it has no previous run")
		}
		if s.departed() || s.over {
			f.progress.Over = !s.departed()
			if f.progress.Over && s.NeverRan != "" {
				return f.notify(ctx, podlog.Ended, "it has never run: "+s.NeverRan)
			}
			f.queue.Advance(f.container, f.progress)
			return nil
		}
		switch {
		case s.Looping:
			err = f.notifyLoop(ctx, s)
		case s.Waiting != "":
			err = f.notifyWaiting(ctx, s.Waiting)
		}
		if err != nil {
			return err
		}
		if !f.plan.follow {
			return nil
		}
		f.queue.Activate(f.container, false)
		f.leavePlace()
		if err := f.status.await(ctx, 0); err != nil {
			return err
		}
	}
}

// nextRun returns the oldest run that is still to be read; its ID is empty when there is none. A GAP says that runs before it
// cannot be read any more.
func (f *follower) nextRun(ctx context.Context, s containerStatus) (podlog.Run, error) {
	known := f.progress.Run != 0
	runs := f.runs(s)
	i := slices.IndexFunc(runs, func(run podlog.Run) bool { return cursor.NewRunKey(run.ID) == f.progress.Run })
	switch {
	case i >= 0 && !f.progress.Done && !s.gone:
		return runs[i], nil
	case i >= 0 && f.progress.Done:
		runs = runs[i+1:]
	case i < 0 && known && !f.progress.Done:
		f.progress.Done = true
		if err := f.notifyGap(ctx, gapUnfinished, "the rest of its log is gone"); err != nil {
			return podlog.Run{}, err
		}
	}
	switch {
	case len(runs) == 0 || f.plan.previous && known:
		return podlog.Run{}, nil
	case s.gone:
		f.progress.Done = true
		return podlog.Run{}, f.notifyGap(ctx, gapUnfinished, "its pod was gone before all of its log was read")
	default:
		return runs[0], f.begin(ctx, runs[0])
	}
}

// begin moves the progress to the beginning of a run. A GAP says how many runs were missed.
func (f *follower) begin(ctx context.Context, run podlog.Run) error {
	expected := 0
	if f.progress.Run != 0 {
		expected = f.progress.Restarts + 1
	}
	f.progress = cursor.Progress{Run: cursor.NewRunKey(run.ID), Restarts: run.Restarts}
	if missed := run.Restarts - expected; missed > 0 {
		return f.notifyMissedRuns(ctx, missed)
	}
	return nil
}
