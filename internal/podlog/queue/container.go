package queue

import (
	"time"

	"pullwatch/internal/podlog/cursor"
)

// Container holds the chunks of one container, or the notices about the stream as a whole, in order. It belongs to a Queue,
// whose mutex guards it.
type Container struct {
	Key cursor.ContainerKey
	// Pod and Name are empty for the stream as a whole.
	Pod, Name string

	chunks []*Chunk
	// size is that of the chunks, in bytes.
	size int
	// progress is how far the reader has taken the container's lines.
	progress cursor.Progress
	// active means that lines may come soon.
	active bool
	// silentSince is when the container became active, or when its last lines were taken.
	silentSince time.Time
	// ended means that no more chunks come.
	ended bool
	// predecessor is a container of the same names, of an earlier pod, whose chunks come first; nil when there is none.
	predecessor *Container
	// retired means that cursors leave the container out once it is empty.
	retired bool
	// waiting means that a follower waits for a value from room.
	waiting bool
	room    chan struct{}
}

func (c *Container) empty() bool { return len(c.chunks) == 0 }

// blocked reports whether the chunks of the predecessor have not all been taken.
func (c *Container) blocked() bool {
	if p := c.predecessor; p != nil && p.ended && p.empty() {
		c.predecessor = nil
	}
	return c.predecessor != nil
}

// line returns the chunk whose lines the reader may take next; nil when there is none.
func (c *Container) line() *Chunk {
	if c.empty() || len(c.chunks[0].lines) == 0 || c.blocked() {
		return nil
	}
	return c.chunks[0]
}

// wake lets a follower that waits for room try again.
func (c *Container) wake() {
	if !c.waiting {
		return
	}
	c.waiting = false
	select {
	case c.room <- struct{}{}:
	default:
	}
}

// oldestLines returns the index of the first chunk that has lines, or -1.
func (c *Container) oldestLines() int {
	for i, chunk := range c.chunks {
		if len(chunk.lines) > 0 {
			return i
		}
	}
	return -1
}

// drop replaces the lines of the i-th chunk by their number, and joins it with lines dropped right before. It returns how many
// bytes that frees.
func (c *Container) drop(i int) int {
	chunk := c.chunks[i]
	before := c.size
	c.size -= chunk.size
	chunk.dropped, chunk.size = len(chunk.lines), ChunkOverhead
	chunk.lines, chunk.positions = nil, nil
	if i > 0 && c.chunks[i-1].dropped > 0 {
		c.chunks[i-1].dropped += chunk.dropped
		c.chunks[i-1].progress = chunk.progress
		c.chunks = append(c.chunks[:i], c.chunks[i+1:]...)
	} else {
		c.size += chunk.size
	}
	return before - c.size
}
