package follow

import "pullwatch/internal/podlog/queue"

// What is taken of Options.Budget, besides that which waits in the queue, in bytes.
const (
	// streamMemory is for a stream with what its queue has in any case.
	streamMemory = queue.MinWaiting + 16<<10
	// followerMemory is for each container that is followed. A silent one takes 28 KiB, one with lines of 200 bytes 48, and
	// one with the longest lines as much as this: a buffer to read into, a line, and what waits for the next chunk.
	followerMemory = 176 << 10
	// programMemory and machineMemory are for each instruction of an expression: once for the stream, and for each log of
	// which a line is being matched.
	programMemory = 256
	machineMemory = 160
)

// memory is what the stream takes by itself.
func (p *plan) memory() int { return streamMemory + p.instructions()*programMemory }

// followerMemory is what each of its followers takes.
func (p *plan) followerMemory() int { return followerMemory + p.instructions()*machineMemory }

// instructions counts those of both expressions.
func (p *plan) instructions() int { return p.include.ProgramLength() + p.exclude.ProgramLength() }
