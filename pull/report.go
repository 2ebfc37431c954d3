package pull

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// ContainerName is the name of the container, in a pull's pod, that copies the image.
const ContainerName = "copier"

// Exit codes of the copier. Any other code than these means that it was killed or crashed, and is tried again.
const (
	ExitDone = 0
	// ExitTransient means that another attempt may succeed.
	ExitTransient = 1
	// ExitPermanent means that no attempt will ever succeed, so the pull fails at once.
	ExitPermanent = 3
)

// Report is one line of the copier's log: what it does now and how far it has come. The copier writes one a second while
// bytes move and one whenever something else happens. JSON is for what is kept of it on the Job.
type Report struct {
	Time    time.Time `json:"time"`
	Message string    `json:"msg"`
	// BytesDone counts bytes that need no more work; it never falls within an attempt.
	BytesDone int64 `json:"bytesDone"`
	// BytesTotal is nil until all manifests have been read.
	BytesTotal *int64 `json:"bytesTotal,omitempty"`
	// BytesPerSecond is averaged over the last seconds, 0 while nothing moves.
	BytesPerSecond int64 `json:"bytesPerSecond,omitempty"`
}

// String returns the report as one line, for people first and then, in brackets, for ParseReport.
func (r Report) String() string {
	message := strings.Join(strings.FieldsFunc(r.Message, func(c rune) bool { return c == '\n' || c == '\r' }), " ")
	line := fmt.Sprintf("%s%s [t=%d done=%d", message, r.figures(), r.Time.UnixMilli(), r.BytesDone)
	if r.BytesTotal != nil {
		line += fmt.Sprintf(" total=%d rate=%d", *r.BytesTotal, r.BytesPerSecond)
	}
	return line + "]"
}

// figures says how far it has come while bytes move.
func (r Report) figures() string {
	if r.BytesTotal == nil || r.BytesPerSecond <= 0 {
		return ""
	}
	return fmt.Sprintf(": %s of %s at %s/s", FormatBytes(r.BytesDone), FormatBytes(*r.BytesTotal), FormatBytes(r.BytesPerSecond))
}

var reportFigures = regexp.MustCompile(`^(.+) \[t=(\d{1,15}) done=(\d{1,18})(?: total=(\d{1,18}) rate=(\d{1,18}))?\]$`)

// ParseReport returns the report that a line of the copier's log holds. It returns false for any other line. Times are
// kept to the millisecond.
func ParseReport(line string) (r Report, ok bool) {
	parts := reportFigures.FindStringSubmatch(line)
	if parts == nil {
		return Report{}, false
	}
	number := func(digits string) int64 {
		n, _ := strconv.ParseInt(digits, 10, 64) // the expression has nothing else
		return n
	}
	r = Report{Time: time.UnixMilli(number(parts[2])).UTC(), BytesDone: number(parts[3])}
	if parts[4] != "" {
		r.BytesTotal, r.BytesPerSecond = new(number(parts[4])), number(parts[5])
	}
	r.Message = strings.TrimSuffix(parts[1], r.figures())
	return r, r.Message != ""
}

// Outcome is how an attempt ended, as the copier writes it, in JSON, to its termination message. It is kept below the
// 4096 bytes that Kubernetes keeps of it.
type Outcome struct {
	// Digest of what stands at the destination, verified; empty when the attempt failed.
	Digest string `json:"digest,omitempty"`
	// BytesTotal counts all bytes of all blobs, BytesCopied those that had to be sent.
	BytesTotal  int64 `json:"bytesTotal,omitempty"`
	BytesCopied int64 `json:"bytesCopied,omitempty"`
	// Reason and Message say why the attempt failed; both are empty when it succeeded.
	Reason  FailureReason `json:"reason,omitempty"`
	Message string        `json:"message,omitempty"`
}
