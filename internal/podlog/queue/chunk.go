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

// MaxChunkBytes bounds a chunk, unless it has only one line.
const MaxChunkBytes = 64 << 10

// What a line takes besides its message, and a chunk besides its lines, in bytes.
const (
	LineOverhead  = int(unsafe.Sizeof(podlog.Line{}) + unsafe.Sizeof(cursor.Position{}))
	ChunkOverhead = int(unsafe.Sizeof(Chunk{}))
)

// Chunk is what waits in the queue: lines, or a notice, or the number of lines that were dropped.
type Chunk struct {
	// lines are those that the reader has not taken yet, each with its position.
	lines     []podlog.Line
	positions []cursor.Position
	notice    *podlog.Notice
	// dropped counts lines that were dropped for want of room.
	dropped int
	// live means that the lines were written after their log was opened.
	live bool
	// progress is the container's behind this chunk, and behind lines that the filters left out.
	progress cursor.Progress
	// arrived is when the chunk was first pushed, even if it had to wait for room.
	arrived time.Time
	// size is what the chunk takes, in bytes.
	size int
}

// NewNotice returns a chunk of one notice. p is the container's progress.
func NewNotice(n podlog.Notice, p cursor.Progress) *Chunk {
	return &Chunk{notice: &n, progress: p, size: ChunkOverhead + LineOverhead + len(n.Message)}
}

// Writer collects the lines of a chunk, all of one run. Their messages share one string, so that a chunk takes few
// allocations. A Writer is empty at first.
type Writer struct {
	// Live says whether the lines are live. It is set while the Writer is empty.
	Live bool
	// MaxLineBytes bounds a message, in bytes. It is set before the first line.
	MaxLineBytes int
	lines        []podlog.Line
	positions    []cursor.Position
	// messages has the messages of all lines, and ends where each ends in it.
	messages []byte
	ends     []int
}

// Add adds a line, unless m's filters leave it out, which look at raw. That is its message, or the beginning of one of length bytes.
// Its error is ctx's.
func (w *Writer) Add(ctx context.Context, line podlog.Line, p cursor.Position, raw []byte, length int, m *filter.Matcher) error {
	if ok, err := m.Match(ctx, raw); !ok {
		return err
	}
	messages, taken := logline.AppendMessage(w.messages, raw, w.MaxLineBytes)
	w.messages = messages
	line.TruncatedBytes = length - taken
	w.lines = append(w.lines, line)
	w.positions = append(w.positions, p)
	w.ends = append(w.ends, len(messages))
	return nil
}

// Empty reports whether there are no lines.
func (w *Writer) Empty() bool { return len(w.lines) == 0 }

// Full reports whether a message of n more bytes could make the chunk larger than limit bytes. Each byte may be invalid and
// become U+FFFD, which takes three.
func (w *Writer) Full(n, limit int) bool {
	return len(w.lines) > 0 && len(w.messages)+min(3*n, w.MaxLineBytes)+(len(w.lines)+1)*LineOverhead > limit
}

// Flush returns the collected lines as a chunk, and empties w. p is the container's progress behind them.
func (w *Writer) Flush(p cursor.Progress) *Chunk {
	messages := string(w.messages)
	start := 0
	for i, end := range w.ends {
		w.lines[i].Message = messages[start:end]
		start = end
	}
	n := len(w.lines)
	chunk := &Chunk{
		lines:     w.lines,
		positions: w.positions,
		live:      w.Live,
		progress:  p,
		size:      ChunkOverhead + len(messages) + n*LineOverhead,
	}
	// The next chunk will be about as long.
	w.lines, w.positions = make([]podlog.Line, 0, n), make([]cursor.Position, 0, n)
	w.ends, w.messages = w.ends[:0], w.messages[:0]
	return chunk
}
