package podlog

import (
	"context"
	"time"
	"unsafe"
)

// maxChunkBytes bounds what a follower hands over at once, unless it is one line.
const maxChunkBytes = 64 << 10

// What a waiting line needs of memory besides its message, and a chunk besides its lines.
const (
	lineOverhead  = int(unsafe.Sizeof(Line{}) + unsafe.Sizeof(position{}))
	chunkOverhead = int(unsafe.Sizeof(chunk{}))
)

// chunk is what waits in a lane: lines, or a notice, or lines that were dropped.
type chunk struct {
	// lines are those that have not been taken yet, each with its position.
	lines     []Line
	positions []position
	notice    *Notice
	// dropped counts lines that were taken out for want of room.
	dropped int
	// live means that the lines were written after their log was opened: they do not wait for the reader.
	live bool
	// mark is where the chunk leaves the container, lines that the filters kept out included.
	mark    mark
	arrived time.Time
	size    int
}

// newNotice returns a chunk for one notice.
func newNotice(n Notice, m mark) *chunk {
	return &chunk{notice: &n, mark: m, size: chunkOverhead + lineOverhead + len(n.Message)}
}

// chunkWriter collects lines of one run. The messages of a chunk share one string.
type chunkWriter struct {
	lines     []Line
	positions []position
	ends      []int
	messages  []byte
	live      bool
}

// add takes in one line, if m lets its message through. Its error is ctx's.
func (w *chunkWriter) add(ctx context.Context, line Line, p position, raw []byte, m *matcher) error {
	start := len(w.messages)
	messages, taken := appendMessage(w.messages, raw)
	if ok, err := m.passes(ctx, messages[start:]); !ok {
		w.messages = messages[:start]
		return err
	}
	w.messages = messages
	line.TruncatedBytes += len(raw) - taken
	w.lines = append(w.lines, line)
	w.positions = append(w.positions, p)
	w.ends = append(w.ends, len(messages))
	return nil
}

// full reports whether the chunk must be flushed before a line of n bytes is added, each of which may be invalid and
// become the three bytes of U+FFFD. limit is what the chunk may weigh.
func (w *chunkWriter) full(n, limit int) bool {
	return len(w.lines) > 0 && len(w.messages)+min(3*n, MaxMessage)+(len(w.lines)+1)*lineOverhead > limit
}

// flush returns what has been collected as a chunk that leaves the container at m.
func (w *chunkWriter) flush(m mark) *chunk {
	messages := string(w.messages)
	start := 0
	for i, end := range w.ends {
		w.lines[i].Message = messages[start:end]
		start = end
	}
	n := len(w.lines)
	c := &chunk{
		lines:     w.lines,
		positions: w.positions,
		live:      w.live,
		mark:      m,
		size:      chunkOverhead + len(messages) + n*lineOverhead,
	}
	// The next chunk will be about as long.
	w.lines, w.positions = make([]Line, 0, n), make([]position, 0, n)
	w.ends, w.messages = w.ends[:0], w.messages[:0]
	return c
}
