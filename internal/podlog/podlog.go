// Package podlog holds the terms of streaming the logs of pods: what a caller asks for (Input), what it gets (Batch, Line,
// Notice), and where pods and their logs come from (Source). The packages below it do the work, in the order in which a
// line passes them:
//
//   - logshare is a Source that lets many streams share one watch and one log.
//   - follow starts a stream and follows each container of it: one run after the other.
//   - logline cuts a log into lines, and their timestamps off them.
//   - filter tells which lines a caller wants.
//   - queue keeps lines until the caller takes them, and merges them into batches.
//   - cursor says how far each container has been read, as text that a caller can come back with.
package podlog

import "time"

// Bounds of what is accepted and delivered.
const (
	// MaxTailLines is the highest Input.TailLines.
	MaxTailLines = 10_000
	// MaxExpression bounds Input.Include and Input.Exclude, in bytes.
	MaxExpression = 1 << 10
	// MaxContainers is how many containers one stream follows at a time.
	MaxContainers = 50
	// MaxMessage bounds Line.Message, in bytes.
	MaxMessage = 64 << 10
	// MaxBatchLines and MaxBatchBytes bound a Batch: its lines and notices together, and the bytes of its messages.
	MaxBatchLines = 1000
	MaxBatchBytes = 256 << 10
	// BatchWindow is how long a Batch waits for more after its first line or notice.
	BatchWindow = 20 * time.Millisecond
	// MaxWaiting bounds the lines that wait for a stream's reader, in bytes of memory. Options.Budget may allow less.
	MaxWaiting = 1 << 20
	// ReorderWindow is how long a line waits for earlier ones of other containers.
	ReorderWindow = 250 * time.Millisecond
	// CursorInterval is how long lines may be passed over by filters before a Batch without lines brings a newer cursor.
	CursorInterval = 10 * time.Second
	// JobWait is how long a stream waits for a Job's first pod.
	JobWait = 60 * time.Second
)

// Input says which logs to stream. Exactly one of Pod, Job and Selector is set.
type Input struct {
	Namespace string
	Pod       *string
	Job       *string
	// Selector is a label selector as kubectl reads it, such as app=api,tier!=db.
	Selector *string
	// Container limits the stream to containers of that name; nil means all, init and ephemeral ones included.
	Container *string
	// TailLines is how many last lines to start with, 0 to MaxTailLines, of each container that has a log when the
	// stream begins; nil means all.
	TailLines *int
	// Since leaves out lines before this moment.
	Since *time.Time
	// Follow keeps the stream going as lines come; otherwise it ends with what there is when it starts.
	Follow bool
	// Previous asks for the run before the current one, which has ended: nothing is followed.
	Previous bool
	// Include and Exclude are RE2 expressions that a message must and must not match, of at most MaxExpression bytes and 1,000
	// instructions, which repetitions multiply.
	Include, Exclude *string
	// After is the Cursor of a Batch of an earlier stream with the same Namespace, Pod, Job, Selector, Container and
	// Previous: the stream goes on right behind that batch. TailLines and Since then say where that one had begun.
	After *string
	// Caller is who asks, as Options.MaxCallerStreams counts them, such as a client's address. An empty one counts for
	// Options.MaxStreams only.
	Caller string
}

// Batch is what is delivered at once. The lines of one container are in the order in which they were written; lines of
// several containers are in the order of their timestamps as far as ReorderWindow allows. GAP and DROPPED stand before
// all lines of their container in the batch. Neither slice is nil. Both are empty when only the Cursor is newer, because
// the filters have let nothing through for CursorInterval.
type Batch struct {
	Lines   []Line
	Notices []Notice
	// Cursor stands behind this batch, for every container of the stream; Input.After takes it, in any process.
	Cursor string
}

// Line is one line of a container's log.
type Line struct {
	Pod, Container string
	// Timestamp is when the container runtime read the line, in UTC. When the line came without it, it is that of the line
	// before, or if none had any, when the line was read from the log. It is never zero.
	Timestamp time.Time
	// Message is valid UTF-8 without its line end, at most MaxMessage bytes.
	Message string
	// TruncatedBytes counts what was cut off the end.
	TruncatedBytes int
}

// Notice tells what happened to a source of lines.
type Notice struct {
	Kind NoticeKind
	// Pod and Container are nil when the notice is about the stream as a whole.
	Pod, Container *string
	Message        string
	// Count is a number of lines, where the kind has one.
	Count *int
}

// NoticeKind is what a Notice tells.
type NoticeKind string

// The kinds of notices.
const (
	// Started comes before the first line of each run of a container.
	Started NoticeKind = "STARTED"
	// Waiting says why there is no log yet; once for each reason.
	Waiting NoticeKind = "WAITING"
	// Ended comes after the last line of a run that has ended.
	Ended NoticeKind = "ENDED"
	// Resumed says that a log which broke off was opened again and goes on behind its last line, or a stream behind
	// Input.After.
	Resumed NoticeKind = "RESUMED"
	// Gap says that lines may be missing from here on, and why.
	Gap NoticeKind = "GAP"
	// Dropped counts lines that were left out here because the reader was too slow.
	Dropped NoticeKind = "DROPPED"
)
