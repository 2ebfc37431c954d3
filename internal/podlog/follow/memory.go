package follow

import (
	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/queue"
)

// What a stream takes from Options.Budget, in bytes, besides what its queue takes when it grows.
const (
	// streamMemory is for a stream, besides the least that its queue has.
	streamMemory = 16 << 10
	// followerMemory is for each follower, with its part of cursors.
	followerMemory = 8 << 10
	// readerMemory is for each follower that has a place. A silent one takes 28 KiB, one with lines of 200 bytes 48 KiB. One with
	// lines of podlog.DefaultLineBytes takes all: a buffer to read into, a line, and the lines of the next chunk.
	readerMemory = 176 << 10
	// longLineMemory is for each byte of Input.MaxLineBytes beyond podlog.DefaultLineBytes, for each follower that has a place: it is
	// in the line, in its message, and in the chunk that waits for room.
	longLineMemory = 3
	// programMemory is for each instruction of an expression, once a stream. machineMemory is for each instruction, too, once
	// for each log of which a line is being matched.
	programMemory = 256
	machineMemory = 160
)

// memory is what a stream takes without its followers, in bytes.
func (p *plan) memory() int {
	return streamMemory + queue.MinWaiting(p.maxLineBytes) + p.instructions()*programMemory + p.containers.memory()
}

// readerMemory is what each follower takes that has a place, in bytes.
func (p *plan) readerMemory() int {
	longer := max(0, p.maxLineBytes-podlog.DefaultLineBytes)
	return readerMemory + longer*longLineMemory + p.instructions()*machineMemory
}

// instructions counts those of the filters.
func (p *plan) instructions() int { return p.include.ProgramLength() + p.exclude.ProgramLength() }
