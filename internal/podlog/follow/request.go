package follow

import (
	"context"
	"time"

	"pullwatch/internal/podlog"
)

// request returns a request for the whole log of the run, which has status s.
func (r *runReader) request(s containerStatus) podlog.LogRequest {
	_, asPrevious, _ := s.find(r.id)
	running := s.running(r.id)
	return podlog.LogRequest{
		Namespace: r.plan.target.Namespace,
		Pod:       r.container.Pod,
		Container: r.container.Name,
		Run:       r.id,
		Follow:    r.plan.follow && running && !s.left,
		Previous:  r.plan.previous || asPrevious,
		Ended:     !running,
	}
}

// locate sets where req opens the log: at the second of our last line if there is one, otherwise where the caller asked for.
func (r *runReader) locate(ctx context.Context, req podlog.LogRequest) (podlog.LogRequest, error) {
	req.Since = r.since
	if r.progress.Position.IsZero() && r.tail != nil {
		if err := r.startAtTail(ctx, &req); err != nil {
			return req, err
		}
		req.Since = r.since
	}
	if second := r.progress.Position.Second(); second.After(req.Since) {
		req.Since = second
	}
	return req, nil
}

// begins returns the time of the earliest line that the caller wants; zero when there is no such bound.
func (r *runReader) begins() time.Time {
	if r.tail != nil && r.tail.lines == 0 && r.tail.begun.After(r.since) {
		return r.tail.begun
	}
	return r.since
}
