package queue

import (
	"time"

	"pullwatch/internal/podlog/cursor"
)

// Container holds what one container, or the stream as a whole, has for the reader, in order. It belongs to a Queue, whose
// mutex guards it.
type Container struct {
	Key cursor.ContainerKey
	// Pod and container are empty for the stream as a whole.
	Pod, Name string

	chunks []*Chunk
	// size is that of the chunks, in bytes.
	size int
	// progress is where the reader stands.
	progress cursor.Progress
	// active means that lines may come soon.
	active bool
	// silentSince is since when an active container has had nothing.
	silentSince time.Time
	// retired means that nothing comes any more and cursors need not speak of the container.
	retired bool
	// waiting means that somebody waits for room, which wakes them.
	waiting bool
	room    chan struct{}
}

func (l *Container) empty() bool { return len(l.chunks) == 0 }

// line returns the chunk whose line is next, or nil when there is none.
func (l *Container) line() *Chunk {
	if l.empty() || len(l.chunks[0].lines) == 0 {
		return nil
	}
	return l.chunks[0]
}

// wake lets whoever waits for room try again.
func (l *Container) wake() {
	if !l.waiting {
		return
	}
	l.waiting = false
	select {
	case l.room <- struct{}{}:
	default:
	}
}

// oldestLines returns the index of the first chunk that has lines, or -1.
func (l *Container) oldestLines() int {
	for i, c := range l.chunks {
		if len(c.lines) > 0 {
			return i
		}
	}
	return -1
}

// drop leaves of a chunk only how many lines it had, together with those that were dropped right before it. It returns
// how many bytes that frees.
func (l *Container) drop(i int) int {
	c := l.chunks[i]
	before := l.size
	l.size -= c.size
	c.dropped, c.size = len(c.lines), ChunkOverhead
	c.lines, c.positions = nil, nil
	if i > 0 && l.chunks[i-1].dropped > 0 {
		l.chunks[i-1].dropped += c.dropped
		l.chunks[i-1].progress = c.progress
		l.chunks = append(l.chunks[:i], l.chunks[i+1:]...)
	} else {
		l.size += c.size
	}
	return before - l.size
}
