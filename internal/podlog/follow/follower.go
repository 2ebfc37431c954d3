package follow

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/cursor"
	"pullwatch/internal/podlog/queue"
	"pullwatch/internal/turns"
)

// follower streams the runs of one container, one after the other, and tells what happens to it.
type follower struct {
	source  podlog.Source
	plan    *plan
	logger  *slog.Logger
	metrics *Metrics
	queue   *queue.Queue
	// matching are the turns in which lines are matched.
	matching  *turns.Turns
	container *queue.Container
	status    *statusBox
	// progress is how far the container has been read. If its run is not done, that run is read first.
	progress cursor.Progress
	// tail is set for the run that there was when the stream began.
	tail *tail
	// since leaves out earlier lines, when it is not zero.
	since time.Time
	// told is what the last WAITING notice said.
	told string
}

func (f *follower) notify(ctx context.Context, kind podlog.NoticeKind, message string) error {
	notice := podlog.Notice{Kind: kind, Pod: &f.container.Pod, Container: &f.container.Name, Message: message}
	return f.queue.Push(ctx, f.container, queue.NewNotice(notice, f.progress))
}

const tryingAgain = "its log cannot be read now; trying again"

// tellWaiting sends a WAITING notice, unless the last one gave the same reason.
func (f *follower) tellWaiting(ctx context.Context, reason string) error {
	if reason == f.told {
		return nil
	}
	f.told = reason
	return f.notify(ctx, podlog.Waiting, reason)
}

func (f *follower) tellGap(ctx context.Context, reason, message string) error {
	f.metrics.gap(reason)
	return f.notify(ctx, podlog.Gap, "lines may be missing: "+message)
}

func (f *follower) tellMissedRuns(ctx context.Context, runs int) error {
	return f.tellGap(ctx, gapRuns, fmt.Sprintf("it was restarted %d times before its log could be read", runs))
}

func (f *follower) tellEnded(ctx context.Context, run podlog.Run, gone bool) error {
	message := "its pod was deleted"
	if f.plan.target.Selector != "" {
		message = "its pod is gone, or matches no longer"
	}
	switch {
	case gone:
	case run.Running:
		message = "it was restarted"
	default:
		message = fmt.Sprintf("exit code %d", run.ExitCode)
		if run.Reason != "" {
			message += " (" + run.Reason + ")"
		}
	}
	return f.notify(ctx, podlog.Ended, message)
}
