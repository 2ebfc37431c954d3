package podlog

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// follower streams the runs of one container, one after the other, and tells what happens to it.
type follower struct {
	source Source
	plan   *plan
	logger *slog.Logger
	pod    string
	name   string
	key    sourceKey
	status *statusBox
	send   func(context.Context, chunk) error
	// tail is set for the runs that there were when the stream began.
	tail *int

	position position
	// lastRead is the ID of the last run that needs no more reading.
	lastRead string
	// told is what the last WAITING notice said.
	told string
}

// run streams the container until it is over, or with Input.Follow unset, until the end of what there is now. It
// returns an error that ends the stream, or ctx's.
func (f *follower) run(ctx context.Context) error {
	for {
		s := f.status.get()
		run := f.nextRun(s)
		if run.ID != "" {
			if err := f.readRun(ctx, run); err != nil {
				return err
			}
			f.lastRead = run.ID
			f.tail = nil
			continue
		}
		if f.plan.previous {
			if f.lastRead != "" {
				return nil
			}
			return f.tellWaiting(ctx, "it has no previous run")
		}
		if s.gone || s.over {
			return nil
		}
		if s.Waiting != "" {
			if err := f.tellWaiting(ctx, s.Waiting); err != nil {
				return err
			}
		}
		if !f.plan.follow {
			return nil
		}
		if err := f.status.await(ctx, 0); err != nil {
			return err
		}
	}
}

// nextRun returns the oldest run that is still to be read. Its ID is empty when there is none.
func (f *follower) nextRun(s containerStatus) Run {
	if f.plan.previous {
		if s.Previous.ID == f.lastRead {
			return Run{}
		}
		return s.Previous
	}
	switch {
	case s.gone || s.Run.ID == f.lastRead:
		return Run{}
	case s.Previous.ID != "" && s.Previous.ID != s.Run.ID && s.Previous.ID != f.lastRead:
		// It came and went between two looks at the container.
		return s.Previous
	default:
		return s.Run
	}
}

// tellWaiting sends a WAITING notice, unless the last one gave the same reason.
func (f *follower) tellWaiting(ctx context.Context, reason string) error {
	if reason == f.told {
		return nil
	}
	f.told = reason
	return f.notify(ctx, Waiting, reason)
}

func (f *follower) tellEnded(ctx context.Context, run Run, gone bool) error {
	message := "its pod was deleted"
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
	return f.notify(ctx, Ended, message)
}

func (f *follower) notify(ctx context.Context, kind NoticeKind, message string) error {
	notice := Notice{Kind: kind, Pod: &f.pod, Container: &f.name, Message: message}
	return f.send(ctx, chunk{notices: []Notice{notice}, key: f.key})
}

// request returns where to open the log of a run: behind the last line if there was one, otherwise as the caller asked
// for it. firstOpen is zero before the run was opened for the first time.
func (f *follower) request(follow, previous bool, firstOpen time.Time) LogRequest {
	req := LogRequest{
		Namespace: f.plan.target.Namespace,
		Pod:       f.pod,
		Container: f.name,
		Follow:    follow,
		Previous:  previous,
		Since:     f.plan.since,
	}
	switch {
	case !f.position.timestamp.IsZero():
		if second := f.position.timestamp.Truncate(time.Second); second.After(req.Since) {
			req.Since = second
		}
	case f.position.count > 0:
		// Lines without timestamps can only be counted from the beginning.
	case f.tail != nil && *f.tail == 0 && !firstOpen.IsZero():
		// The caller wants what is new since then; another tail of 0 would lose what came while the log was closed.
		if firstOpen.After(req.Since) {
			req.Since = firstOpen
		}
	default:
		req.Tail = f.tail
	}
	return req
}
