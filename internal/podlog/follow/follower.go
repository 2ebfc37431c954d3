package follow

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"pullwatch/internal/budget"
	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/cursor"
	"pullwatch/internal/podlog/queue"
	"pullwatch/internal/turns"
)

// follower streams the runs of one container, one after the other, and sends notices of what happens to it.
type follower struct {
	source  podlog.Source
	tails   *tails
	plan    *plan
	logger  *slog.Logger
	metrics *Metrics
	queue   *queue.Queue
	// matching gives turns to match lines in.
	matching  *turns.Turns
	container *queue.Container
	status    *statusBox
	// places gives the follower a place to read a log. request is for that; nil when it needs none. placed means that it has one.
	// account holds its memory.
	places  *places
	request *placeRequest
	placed  bool
	account *budget.Account
	// progress is how far the container has been read. A run in it that is not done is read first.
	progress cursor.Progress
	// tail is set only for the run that the stream begins with.
	tail *tail
	// since leaves out earlier lines, when it is not zero.
	since time.Time
	// left means that ENDED was sent because the pod was gone or had left, before the run was read to its end.
	left bool
	// lastWaiting is what the last WAITING notice said; empty again once the log goes on.
	lastWaiting string
	// toldLoop means that the reader knows that the container's runs end again and again.
	toldLoop bool
}

func (f *follower) notify(ctx context.Context, kind podlog.NoticeKind, message string) error {
	notice := podlog.Notice{Kind: kind, Pod: &f.container.Pod, Container: &f.container.Name, Message: message}
	return f.queue.Push(ctx, f.container, queue.NewNotice(notice, f.progress))
}

func (f *follower) notifyStarted(ctx context.Context, note string) error {
	return f.notify(ctx, podlog.Started, "log opened"+note)
}

func (f *follower) notifyResumed(ctx context.Context) error {
	return f.notify(ctx, podlog.Resumed, "its log was opened again and goes on behind the last line")
}

const tryingAgain = "its log cannot be read now; trying again"

// notifyWaiting sends a WAITING notice, unless the last one gave the same reason.
func (f *follower) notifyWaiting(ctx context.Context, reason string) error {
	if reason == f.lastWaiting {
		return nil
	}
	f.lastWaiting = reason
	return f.notify(ctx, podlog.Waiting, reason)
}

// notifyLoop says, once in each loop, that the container's runs end again and again, and how often it was restarted.
func (f *follower) notifyLoop(ctx context.Context, s containerStatus) error {
	if f.toldLoop {
		return nil
	}
	f.toldLoop = true
	return f.queue.Push(ctx, f.container, queue.NewNotice(podlog.Notice{
		Kind: podlog.Waiting, Pod: &f.container.Pod, Container: &f.container.Name, Count: &s.Run.Restarts,
		Message: fmt.Sprintf("%s; restarts so far: %d", s.Waiting, s.Run.Restarts),
	}, f.progress))
}

func (f *follower) notifyGap(ctx context.Context, reason, message string) error {
	f.metrics.gap(reason)
	return f.notify(ctx, podlog.Gap, "lines may be missing: "+message)
}

func (f *follower) notifyMissedRuns(ctx context.Context, runs int) error {
	return f.notifyGap(ctx, gapRuns, fmt.Sprintf("it was restarted %d times before its log could be read", runs))
}

func (f *follower) notifyEnded(ctx context.Context, run podlog.Run, gone bool) error {
	message, podReason := "its pod was deleted", f.status.get().podReason
	switch {
	case gone && podReason != "":
		message += ": " + podReason
	case gone:
	case run.Running:
		message = "it was restarted"
	default:
		message = fmt.Sprintf("exit code %d", run.ExitCode)
		if run.Reason != "" {
			message += " (" + run.Reason + ")"
		}
		if run.Message != "" {
			message += ": " + run.Message
		}
		if podReason != "" {
			message += "; its pod: " + podReason
		}
	}
	return f.notify(ctx, podlog.Ended, message)
}
