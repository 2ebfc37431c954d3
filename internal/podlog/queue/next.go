package queue

import (
	"context"
	"io"
	"time"

	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/cursor"
)

// Next waits for a batch. It returns io.EOF when the queue is closed and empty, and ctx's error when ctx ends first. target
// and begun are Cursor.Target and Cursor.Begun of the batch's cursor.
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

// cursor returns the cursor behind all that the reader has taken.
func (q *Queue) cursor(target uint64, begun time.Time) string {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.advancedAt, q.delivered = time.Time{}, time.Now()
	e := cursor.NewEncoder(target, begun, len(q.containers))
	for _, c := range q.containers {
		if c.Name != "" {
			e.Add(c.Key, c.progress)
		}
	}
	return e.String()
}

// cursorDue returns when the reader gets a new cursor even without lines; zero when the reader's cursor is up to date.
func (q *Queue) cursorDue() time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.advancedAt.IsZero() {
		return time.Time{}
	}
	return q.advancedAt.Add(podlog.CursorInterval)
}

// await returns when the queue has changed, or at the given moment if it is not zero, or with ctx's error.
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

// earlier returns the earlier moment. Zero stands for never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
