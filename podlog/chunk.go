package podlog

import (
	"context"
	"time"
)

// A chunk is what a follower hands over at once; with queuedChunks of them, at most 1 MiB of messages waits.
const (
	maxChunkLines = 256
	maxChunkBytes = 64 << 10
	queuedChunks  = 16
)

// chunk is a piece of a container's log, or a notice, on its way to the reader. A batch takes in whole chunks only, so
// that mark always tells where a batch leaves a container.
type chunk struct {
	lines []Line
	// bytes counts those of the lines' messages.
	bytes   int
	notices []Notice
	arrived time.Time
	key     sourceKey
	// mark is set when there are lines.
	mark mark
	// forget means that the pod is gone, and cursors need not speak of the container any more.
	forget bool
}

func (c *chunk) size() int { return len(c.lines) + len(c.notices) }

// chunkWriter collects lines of one container and sends them as chunks. The messages of a chunk share one string.
type chunkWriter struct {
	key sourceKey
	run uint64
	// send blocks while the queue is full; it fails only when its context ends.
	send     func(context.Context, chunk) error
	lines    []Line
	ends     []int
	messages []byte
}

// add takes in one line, unless passes refuses its message.
func (w *chunkWriter) add(line Line, raw []byte, passes func([]byte) bool) {
	start := len(w.messages)
	messages, taken := appendMessage(w.messages, raw)
	if !passes(messages[start:]) {
		w.messages = messages[:start]
		return
	}
	w.messages = messages
	line.TruncatedBytes += len(raw) - taken
	w.lines = append(w.lines, line)
	w.ends = append(w.ends, len(messages))
}

// full reports whether the chunk must be flushed before a line of n bytes is added, each of which may be invalid and
// become the three bytes of U+FFFD.
func (w *chunkWriter) full(n int) bool {
	return len(w.lines) == maxChunkLines || len(w.lines) > 0 && len(w.messages)+min(3*n, MaxMessage) > maxChunkBytes
}

// flush sends what has been collected; p is where it leaves the container.
func (w *chunkWriter) flush(ctx context.Context, p position) error {
	if len(w.lines) == 0 {
		return nil
	}
	messages := string(w.messages)
	lines := make([]Line, len(w.lines))
	start := 0
	for i, end := range w.ends {
		lines[i] = w.lines[i]
		lines[i].Message = messages[start:end]
		start = end
	}
	w.lines, w.ends, w.messages = w.lines[:0], w.ends[:0], w.messages[:0]
	return w.send(ctx, chunk{lines: lines, bytes: len(messages), key: w.key, mark: mark{run: w.run, position: p}})
}
