package queue

import (
	"context"
	"io"
	"time"

	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/cursor"
)

// Next waits for a batch. It returns io.EOF when nothing more comes, and ctx's error when that ends first. The batch's
// cursor is of a stream of target that began when begun says.
func (q *Queue) Next(ctx context.Context, target uint64, begun func() time.Time) (*podlog.Batch, error) {
	b := &batchBuilder{}
	for {
		again, now := q.take(b), time.Now()
		cursorDue := q.cursorDue()
		switch {
		case b.ready(now):
			return q.pack(b, target, begun()), nil
		case b.ended:
			return nil, io.EOF
		case b.size() == 0 && !cursorDue.IsZero() && !now.Before(cursorDue):
			return q.pack(b, target, begun()), nil
		}
		if b.size() > 0 {
			cursorDue = time.Time{} // the batch brings one
		}
		if err := q.await(ctx, earlier(earlier(again, b.deadline), cursorDue)); err != nil {
			if b.size() > 0 {
				return q.pack(b, target, begun()), nil
			}
			return nil, err
		}
	}
}

func (q *Queue) pack(b *batchBuilder, target uint64, begun time.Time) *podlog.Batch {
	q.metrics.delivered(b)
	batch := &podlog.Batch{Lines: b.lines, Notices: b.notices, Cursor: q.cursor(target, begun)}
	if batch.Lines == nil {
		batch.Lines = []podlog.Line{}
	}
	if batch.Notices == nil {
		batch.Notices = []podlog.Notice{}
	}
	return batch
}

// cursor says where the reader stands.
func (q *Queue) cursor(target uint64, begun time.Time) string {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.passedSince = time.Time{}
	e := cursor.NewEncoder(target, begun, len(q.containers))
	for _, l := range q.containers {
		if l.Name != "" {
			e.Add(l.Key, l.progress)
		}
	}
	return e.String()
}

// cursorDue returns when the reader is to have a new cursor though nothing was handed over; zero when the one that it
// has will do.
func (q *Queue) cursorDue() time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.passedSince.IsZero() {
		return time.Time{}
	}
	return q.passedSince.Add(podlog.CursorInterval)
}

// await returns when the queue has changed, at a moment if that is not zero, or with ctx's error.
func (q *Queue) await(ctx context.Context, at time.Time) error {
	var reached <-chan time.Time
	if !at.IsZero() {
		timer := time.NewTimer(time.Until(at))
		defer timer.Stop()
		reached = timer.C
	}
	select {
	case <-q.changed:
		return nil
	case <-reached:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// earlier returns the earlier moment, where zero stands for never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
