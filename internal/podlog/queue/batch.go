package queue

import (
	"fmt"
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
