package queue

import (
	"context"
	"fmt"
	"io"
	"time"

	"pullwatch/internal/podlog"
)

// batchBuilder collects a Batch.
type batchBuilder struct {
	lines   []podlog.Line
	notices []podlog.Notice
	// bytes counts those of the lines' messages.
	bytes int
	// deadline is when the batch has waited long enough; zero while it is empty.
	deadline time.Time
	// oldestLive is the timestamp of the live line that has come first; zero when there is none.
	oldestLive time.Time
	// full means that what comes next belongs into another batch, ended that nothing comes.
	full, ended bool
}

func (b *batchBuilder) size() int { return len(b.lines) + len(b.notices) }

func (b *batchBuilder) ready(now time.Time) bool {
	return b.size() > 0 && (b.full || b.ended || !now.Before(b.deadline))
}

// addLine takes in the i-th line of a chunk, unless that is too much for one batch.
func (b *batchBuilder) addLine(l *Container, c *Chunk, i int) bool {
	line := c.lines[i]
	if b.size() == podlog.MaxBatchLines || b.bytes+len(line.Message) > podlog.MaxBatchBytes {
		b.full = true
		return false
	}
	if b.lines == nil {
		// Most batches have few lines, and those that have many have more than one chunk.
		b.lines = make([]podlog.Line, 0, len(c.lines))
	}
	b.lines = append(b.lines, line)
	b.bytes += len(line.Message)
	b.arrived(c)
	if c.live && b.oldestLive.IsZero() {
		b.oldestLive = line.Timestamp
	}
	return true
}

// addNotice takes in what stands before a container's lines, unless that is too much for one batch. Where lines are missing
// another batch begins: within a batch nothing would say between which lines that is.
func (b *batchBuilder) addNotice(l *Container, c *Chunk) bool {
	n := c.notice
	if c.dropped > 0 {
		n = &podlog.Notice{Kind: podlog.Dropped, Pod: &l.Pod, Container: &l.Name, Count: &c.dropped,
			Message: fmt.Sprintf("lines dropped because this reader was too slow for them: %d", c.dropped)}
	}
	if b.size() == podlog.MaxBatchLines || (n.Kind == podlog.Gap || n.Kind == podlog.Dropped) && b.hasLines(l) {
		b.full = true
		return false
	}
	b.notices = append(b.notices, *n)
	b.arrived(c)
	return true
}

func (b *batchBuilder) hasLines(l *Container) bool {
	for i := range b.lines {
		if b.lines[i].Container == l.Name && b.lines[i].Pod == l.Pod {
			return true
		}
	}
	return false
}

func (b *batchBuilder) arrived(c *Chunk) {
	if deadline := c.arrived.Add(podlog.BatchWindow); b.deadline.IsZero() || deadline.Before(b.deadline) {
		b.deadline = deadline
	}
}

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
