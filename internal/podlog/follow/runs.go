package follow

import (
	"errors"
	"slices"
	"time"

	"pullwatch/internal/podlog"
)

// runs returns the runs of a container whose logs a cluster can give, the older one first.
func (f *follower) runs(s containerStatus) []podlog.Run {
	var runs []podlog.Run
	if s.Previous.ID != "" && (f.plan.previous || s.Previous.ID != s.Run.ID) {
		runs = append(runs, s.Previous)
	}
	if s.Run.ID != "" && !f.plan.previous {
		runs = append(runs, s.Run)
	}
	return runs
}

// laterRuns returns the runs after the one in the progress that may have written the last line that was read.
func (f *follower) laterRuns(s containerStatus) []podlog.Run {
	return f.laterRunsAt(s, f.progress.Position.Nanos)
}

// startSlack is by how much a run's first line may be older than podlog.Run.Started, which is noted later.
const startSlack = time.Second

// laterRunsAt returns the runs after the one in the progress that may have written a line with this timestamp.
func (f *follower) laterRunsAt(s containerStatus, nanos int64) []podlog.Run {
	if f.plan.previous || nanos == 0 {
		return nil
	}
	return slices.DeleteFunc(f.runs(s), func(run podlog.Run) bool {
		return run.Restarts <= f.progress.Restarts || run.NeverStarted || run.Started.IsZero() ||
			time.Unix(0, nanos).Before(run.Started.Add(-startSlack))
	})
}

// errOtherRun means that the log that was opened is that of a later run.
var errOtherRun = errors.New("log is that of a later run")

// checkRun returns errOtherRun when the last line that was read is certainly of a later run, which was not known when the log
// was opened.
func (f *follower) checkRun() error {
	for _, run := range f.laterRuns(f.status.get()) {
		if f.progress.Position.IsAfter(run.Started) {
			return errOtherRun
		}
	}
	return nil
}
