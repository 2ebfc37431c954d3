package queue

import (
	"context"
	"time"
	"unsafe"

	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/cursor"
	"pullwatch/internal/podlog/filter"
	"pullwatch/internal/podlog/logline"
)

// MaxChunkBytes bounds what a follower hands over at once, unless it is one line.
const MaxChunkBytes = 64 << 10

// What a waiting line needs of memory besides its message, and a chunk besides its lines.
const (
	LineOverhead  = int(unsafe.Sizeof(podlog.Line{}) + unsafe.Sizeof(cursor.Position{}))
	ChunkOverhead = int(unsafe.Sizeof(Chunk{}))
)

// Chunk is what waits in the queue: lines, or a notice, or lines that were dropped.
type Chunk struct {
	// lines are those that have not been taken yet, each with its position.
	lines     []podlog.Line
	positions []cursor.Position
	notice    *podlog.Notice
	// dropped counts lines that were taken out for want of room.
	dropped int
	// live means that the lines were written after their log was opened: they do not wait for the reader.
	live bool
	// progress is where the chunk leaves the container, lines that the filters kept out included.
	progress cursor.Progress
	arrived  time.Time
	size     int
}

// NewNotice returns a chunk for one notice.
func NewNotice(n podlog.Notice, m cursor.Progress) *Chunk {
	return &Chunk{notice: &n, progress: m, size: ChunkOverhead + LineOverhead + len(n.Message)}
}

// Writer collects lines of one run. The messages of a chunk share one string.
type Writer struct {
	lines     []podlog.Line
	positions []cursor.Position
	ends      []int
	messages  []byte
	Live      bool
}

// Add takes in one line, if m lets its message through. Its error is ctx's.
func (w *Writer) Add(ctx context.Context, line podlog.Line, p cursor.Position, raw []byte, m *filter.Matcher) error {
	start := len(w.messages)
	messages, taken := logline.AppendMessage(w.messages, raw)
	if ok, err := m.Passes(ctx, messages[start:]); !ok {
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

// Empty reports whether nothing has been collected.
func (w *Writer) Empty() bool { return len(w.lines) == 0 }

// Full reports whether the chunk must be flushed before a line of n bytes is added, each of which may be invalid and
// become the three bytes of U+FFFD. limit is what the chunk may weigh.
func (w *Writer) Full(n, limit int) bool {
	return len(w.lines) > 0 && len(w.messages)+min(3*n, podlog.MaxMessage)+(len(w.lines)+1)*LineOverhead > limit
}

// Flush returns what has been collected as a chunk that leaves the container at m.
func (w *Writer) Flush(m cursor.Progress) *Chunk {
	messages := string(w.messages)
	start := 0
	for i, end := range w.ends {
		w.lines[i].Message = messages[start:end]
		start = end
	}
	n := len(w.lines)
	c := &Chunk{
		lines:     w.lines,
		positions: w.positions,
		live:      w.Live,
		progress:  m,
		size:      ChunkOverhead + len(messages) + n*LineOverhead,
	}
	// The next chunk will be about as long.
	w.lines, w.positions = make([]podlog.Line, 0, n), make([]cursor.Position, 0, n)
	w.ends, w.messages = w.ends[:0], w.messages[:0]
	return c
}
