package pullstate

import (
	"strings"

	"pullwatch/internal/pull"
)

// Log is what has been read of one pod's copier log.
type Log struct {
	// Last is the last report in it.
	Last pull.Report
	// Tail holds the last messages, at most pull.MaxLogTail.
	Tail []string
	// Complete is true once nothing more is to be read.
	Complete bool

	// since counts the lines after the first report that has Last's time, or all lines while there is no report.
	since uint64
}

// Add takes one line of the log: a pull.Report, or what a crash left.
func (l *Log) Add(line []byte) {
	text := string(line)
	l.since++
	if r, ok := pull.ParseReport(text); ok {
		text = r.Message
		if r.Time.After(l.Last.Time) {
			l.since = 0
		} else {
			r.Time = l.Last.Time // the node's clock was set back
		}
		l.Last = r
	}
	if len(l.Tail) == pull.MaxLogTail {
		l.Tail = l.Tail[1:]
	}
	// The tail goes into an annotation, and those of a Job hold 256 KiB in all.
	const longest = 1 << 10
	l.Tail = append(l.Tail, pull.Truncate(strings.ToValidUTF8(text, "\uFFFD"), longest))
}

// Merge returns what is known of a log that has been opened again. read begins with lines that l has, too. ok is false while read
// has nothing new.
func (l Log) Merge(read Log) (merged Log, ok bool) {
	if read.step() < l.step() {
		if !read.Complete {
			return l, false
		}
		read.Last, read.since = l.Last, l.since
	}
	if len(read.Tail) == 0 {
		read.Tail = l.Tail // what was followed before is better than nothing
	}
	return read, true
}

// step returns the pull.Revision's Step: it grows with each line, whatever line reading began with, and is even.
func (l Log) step() uint64 {
	const lines = 128 // of one millisecond
	var ms uint64
	if !l.Last.Time.IsZero() {
		ms = uint64(max(0, l.Last.Time.UnixMilli()))
	}
	return 2 * (ms*lines + min(l.since, lines-1))
}
