// Package podlog has the terms of streaming the logs of pods: what a caller asks for (Input), what it gets (Batch, Line,
// Notice), and where pods and their logs come from (Source). A run is one start of a container. The packages below do the
// work, in the order of a line's way:
//
//   - logshare is a Source that lets many streams share one watch and one log.
//   - follow starts a stream, and follows each of its containers: one run after the other.
//   - logline splits a log into lines, and lines into timestamps and messages.
//   - filter matches lines with the caller's expressions.
//   - queue holds lines until the caller takes them, and merges them into batches.
//   - cursor says how far each container has been read, as text from which a later stream resumes.
package podlog

import "time"

// Bounds of what is accepted and delivered.
const (
	// MaxTailLines is the highest Input.TailLines.
	MaxTailLines = 10_000
	// MaxExpression bounds Input.Include and Input.Exclude, in bytes.
	MaxExpression = 1 << 10
	// MaxOpenLogs is how many logs one stream reads at a time. With Input.Follow, a stream is refused when more containers than
	// that run.
	MaxOpenLogs = 50
	// MaxContainers is how many containers one stream has, with those that have ended and whose pods still exist.
	MaxContainers = 1000
	// DefaultLineBytes is the default of Input.MaxLineBytes, and MaxLineBytes the highest one.
	DefaultLineBytes = 64 << 10
	MaxLineBytes     = 256 << 10
	// MaxFiltered is how many bytes of a line Input.Include and Input.Exclude look at.
	MaxFiltered = 4 << 20
	// MaxBatchLines and MaxBatchBytes bound a Batch: its lines and notices together, and the bytes of its messages. A line of
	// any length has room.
	MaxBatchLines = 1000
	MaxBatchBytes = MaxLineBytes
	// BatchWindow is how long a Batch waits for more after its first line or notice. The live lines of a stream with only one
	// container do not wait, unless the last Batch came less than BatchGap before: many small batches would cost lines a second.
	BatchWindow = 20 * time.Millisecond
	BatchGap    = 5 * time.Millisecond
	// MaxWaiting bounds the lines that wait for a stream's reader, in bytes of memory. follow.Options.Budget may allow less. Four
	// lines of more than DefaultLineBytes have room in any case.
	MaxWaiting = 1 << 20
	// ReorderWindow is how long a line waits for earlier ones of other containers.
	ReorderWindow = 250 * time.Millisecond
	// CursorInterval is how long filters may leave out all lines before a Batch without lines brings a newer cursor.
	CursorInterval = 10 * time.Second
	// JobWait is how long a stream waits for a Job's first pod.
	JobWait = 60 * time.Second
)

// Input says which logs to stream. Exactly one of Pod, Job, Workload and Selector is set.
type Input struct {
	Namespace string
	Pod       *string
	Job       *string
	// Workload is the kind and the name of a Deployment, StatefulSet, DaemonSet or CronJob, such as deployment/web.
	Workload *string
	// Selector is a label selector as kubectl reads it, such as app=api,tier!=db.
	Selector *string
	// Container limits the stream to containers of that name; nil means all, also init and ephemeral ones.
	Container *string
	// Containers limits the stream to containers whose whole name matches this RE2 expression, which has the bounds of Include. It
	// is not set together with Container.
	Containers *string
	// TailLines is how many last lines to start with, whole ones, 0 to MaxTailLines, of each container that has a log when the
	// stream begins; nil means all.
	TailLines *int
	// Since leaves out lines with an earlier timestamp.
	Since *time.Time
	// Follow makes the stream go on with new lines. Otherwise it ends with the lines that there are when it starts.
	Follow bool
	// Previous asks for the run before the current one. That has ended, so Follow does not matter.
	Previous bool
	// Include and Exclude are RE2 expressions that a message must and must not match, of at most MaxExpression bytes and 1,000
	// instructions, which repetitions multiply.
	Include, Exclude *string
	// MaxLineBytes bounds Line.Message, in bytes, 1 to the constant of that name; nil means DefaultLineBytes.
	MaxLineBytes *int
	// After is the Cursor of a Batch of an earlier stream with the same Namespace, Pod, Job, Workload, Selector, Container,
	// Containers and Previous. The stream resumes right behind that batch. TailLines and Since are those of the earlier stream.
	After *string
	// Caller is the key of the per-client limits, such as follow.Options.MaxCallerStreams. An empty one has no limit of its
	// own.
	Caller string
}

// Batch is what is delivered at once. The notices of a container come before its lines: what happens behind a line is in a
// later batch, so that all lines of a container in a batch are of one run. The lines of one container are in the order in
// which they were written. Lines of several containers are in the order of their timestamps, as far as ReorderWindow allows.
// Neither slice is nil. Both are empty when filters have left out all lines for CursorInterval, and only the Cursor is newer.
type Batch struct {
	Lines   []Line
	Notices []Notice
	// Cursor stands behind this batch, for every container of the stream. Input.After takes it, in any process.
	Cursor string
}

// Line is one line of a container's log.
type Line struct {
	Pod, Container string
	// Timestamp is when the container runtime read the line, in UTC. It is never zero: text without a timestamp is no line.
	Timestamp time.Time
	// Message is valid UTF-8 without its line end, at most Input.MaxLineBytes bytes.
	Message string
	// TruncatedBytes counts the bytes that were cut off the end.
	TruncatedBytes int
}

// Notice says what happened to a container, or to the stream.
type Notice struct {
	Kind NoticeKind
	// Pod and Container are nil when the notice is about the stream as a whole.
	Pod, Container *string
	Message        string
	// Count is the number of lines that were dropped, or of restarts of a container that waits because its runs end again and
	// again. It is nil otherwise.
	Count *int
}

// NoticeKind says what a Notice is about.
type NoticeKind string

// The kinds of notices.
const (
	// Started comes before the first line of each run of a container.
	Started NoticeKind = "STARTED"
	// Waiting says why there is no log yet, once for each reason, or that a stream has no pods any more.
	Waiting NoticeKind = "WAITING"
	// Ended comes after the last line of a run that has ended.
	Ended NoticeKind = "ENDED"
	// Resumed says that a log that broke off was opened again and goes on behind its last line, or that a stream goes on
	// behind Input.After.
	Resumed NoticeKind = "RESUMED"
	// Gap says that lines may be missing from here on, and why.
	Gap NoticeKind = "GAP"
	// Dropped counts lines that were dropped here because the reader was too slow.
	Dropped NoticeKind = "DROPPED"
)
