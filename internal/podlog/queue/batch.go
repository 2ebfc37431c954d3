package queue

import (
	"fmt"
	"time"

	"pullwatch/internal/podlog"
)

// batchBuilder collects the lines and notices of a Batch.
type batchBuilder struct {
	lines   []podlog.Line
	notices []podlog.Notice
	// bytes is the size of the lines' messages.
	bytes int
	// deadline is when the batch is delivered even if it is not full; zero while it is empty.
	deadline time.Time
	// oldestLive is the timestamp of the first live line in the batch; zero when there is none.
	oldestLive time.Time
	// single means that the stream has only one container that may still have lines. Its live lines may be delivered from the
	// moment due on.
	single bool
	due    time.Time
	// full means that the next chunk belongs to another batch. ended means that there is no next chunk.
	full, ended bool
}

func (b *batchBuilder) size() int { return len(b.lines) + len(b.notices) }

func (b *batchBuilder) ready(now time.Time) bool {
	return b.size() > 0 && (b.full || b.ended || !now.Before(b.deadline))
}

// addLine adds the i-th line of a chunk, or sets full.
func (b *batchBuilder) addLine(c *Container, chunk *Chunk, i int) bool {
	line := chunk.lines[i]
	if b.size() == podlog.MaxBatchLines || b.bytes+len(line.Message) > podlog.MaxBatchBytes {
		b.full = true
		return false
	}
	if b.lines == nil {
		// Most batches have few lines, all of one chunk. The others grow.
		b.lines = make([]podlog.Line, 0, len(chunk.lines))
	}
	b.lines = append(b.lines, line)
	b.bytes += len(line.Message)
	b.arrived(chunk)
	if chunk.live && b.oldestLive.IsZero() {
		b.oldestLive = line.Timestamp
	}
	return true
}

// addNotice adds the notice of a chunk, or sets full. Lines and notices of a batch are apart, so that notices do not say
// where they stand between lines. So all notices of a container come before its lines: a notice behind lines begins another
// batch.
func (b *batchBuilder) addNotice(c *Container, chunk *Chunk) bool {
	n := chunk.notice
	if chunk.dropped > 0 {
		n = &podlog.Notice{Kind: podlog.Dropped, Pod: &c.Pod, Container: &c.Name, Count: &chunk.dropped,
			Message: fmt.Sprintf("lines dropped because this reader was too slow for them: %d", chunk.dropped)}
	}
	if b.size() == podlog.MaxBatchLines || b.hasLines(c) {
		b.full = true
		return false
	}
	b.notices = append(b.notices, *n)
	b.arrived(chunk)
	return true
}

func (b *batchBuilder) hasLines(c *Container) bool {
	for i := range b.lines {
		if b.lines[i].Container == c.Name && b.lines[i].Pod == c.Pod {
			return true
		}
	}
	return false
}

func (b *batchBuilder) arrived(chunk *Chunk) {
	deadline := chunk.arrived.Add(podlog.BatchWindow)
	if b.single && chunk.live {
		deadline = b.due
	}
	if b.deadline.IsZero() || deadline.Before(b.deadline) {
		b.deadline = deadline
	}
}
