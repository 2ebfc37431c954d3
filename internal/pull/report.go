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

// Exit codes of the copier. After any other code it was killed or crashed, and Kubernetes makes another attempt.
const (
	ExitDone = 0
	// ExitTransient means that another attempt may succeed.
	ExitTransient = 1
	// ExitPermanent means that no attempt will ever succeed, so the pull fails at once.
	ExitPermanent = 3
)

// Report is one line of the copier's pod log: what the copier does and how far it is. The copier writes one a second while bytes
// move, and one whenever something else happens. The JSON form is for annotations of the Job.
type Report struct {
	Time    time.Time `json:"time"`
	Message string    `json:"msg"`
	// Image is the digest of the image at the source, empty until it is known.
	Image string `json:"image,omitempty"`
	// Held is the same as in Outcome.
	Held string `json:"held,omitempty"`
	// BytesDone counts the bytes that were found at the destination or written to it. It falls when an upload fails.
	BytesDone int64 `json:"bytesDone"`
	// BytesBest is the highest BytesDone of this attempt; zero when that is BytesDone itself.
	BytesBest int64 `json:"bytesBest,omitempty"`
	// BytesTotal is nil until all manifests have been read.
	BytesTotal *int64 `json:"bytesTotal,omitempty"`
	// BytesPerSecond is an average over the last seconds; 0 while no bytes move.
	BytesPerSecond int64 `json:"bytesPerSecond,omitempty"`
}

// String returns the report as one line: first for people, then, in brackets, for ParseReport.
func (r Report) String() string {
	message := strings.Join(strings.FieldsFunc(r.Message, func(c rune) bool { return c == '\n' || c == '\r' }), " ")
	line := fmt.Sprintf("%s%s [t=%d done=%d", message, r.figures(), r.Time.UnixMilli(), r.BytesDone)
	if r.BytesTotal != nil {
		line += fmt.Sprintf(" total=%d rate=%d", *r.BytesTotal, r.BytesPerSecond)
	}
	if r.BytesBest > 0 {
		line += fmt.Sprintf(" best=%d", r.BytesBest)
	}
	if r.Image != "" {
		line += " image=" + r.Image
	}
	if r.Held != "" {
		line += " held=" + r.Held
	}
	return line + "]"
}

// figures returns how far the copy is, as the end of a message; empty while no bytes move.
func (r Report) figures() string {
	if r.BytesTotal == nil || r.BytesPerSecond <= 0 {
		return ""
	}
	return fmt.Sprintf(": %s of %s at %s/s", FormatBytes(r.BytesDone), FormatBytes(*r.BytesTotal), FormatBytes(r.BytesPerSecond))
}

var reportFigures = regexp.MustCompile(`^(.+) \[t=(\d{1,15}) done=(\d{1,18})(?: total=(\d{1,18}) rate=(\d{1,18}))?(?: best=(\d{1,18}))?(?: image=([a-z0-9]+:[0-9a-f]+))?(?: held=([a-z0-9]+:[0-9a-f]+))?\]$`)

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
	if parts[6] != "" {
		r.BytesBest = number(parts[6])
	}
	r.Image, r.Held = parts[7], parts[8]
	r.Message = strings.TrimSuffix(parts[1], r.figures())
	return r, r.Message != ""
}

// Outcome is how an attempt ended. The copier writes it in JSON as its termination message, in less than the 4096 bytes that
// Kubernetes keeps.
type Outcome struct {
	// Digest is that of the image at the destination; empty when the attempt failed.
	Digest string `json:"digest,omitempty"`
	// Unconfirmed says why the digest could not be read back at the destination, which has accepted the image. It is empty when
	// it was read back.
	Unconfirmed string `json:"unconfirmed,omitempty"`
	// Image is the digest of the image at the source, also when the attempt failed; empty if that is not known.
	Image string `json:"image,omitempty"`
	// Held is the digest of another image that the destination's tag named when the attempt looked, also when the attempt
	// failed. It is empty if the tag named none, or that is not known.
	Held string `json:"held,omitempty"`
	// BytesTotal counts all bytes of all blobs. BytesCopied were sent. BytesMounted the destination's registry took from another
	// of its repositories. The rest was at the destination already.
	BytesTotal   int64 `json:"bytesTotal,omitempty"`
	BytesCopied  int64 `json:"bytesCopied,omitempty"`
	BytesMounted int64 `json:"bytesMounted,omitempty"`
	// ManifestsWritten counts the manifests that were written because the destination did not have them.
	ManifestsWritten int `json:"manifestsWritten,omitempty"`
	// Left are the layers that were left out because the source does not have them: they may not be passed on, as those of
	// Windows. It is nil when everything was copied.
	Left *Left `json:"left,omitempty"`
	// Reason and Message say why the attempt failed. Both are empty when it succeeded.
	Reason  FailureReason `json:"reason,omitempty"`
	Message string        `json:"message,omitempty"`
	// Side is the end of the copy whose registry is to blame for that; empty if none is known to be.
	Side Side `json:"side,omitempty"`
}

// Side is one end of a copy.
type Side string

// The two sides.
const (
	SourceSide      Side = "source"
	DestinationSide Side = "destination"
)

// Replaces returns a sentence for a copy that will replace the image with that digest at the destination's tag.
func Replaces(digest string) string {
	return "It replaces " + digest + ", which the tag has at the destination."
}

// Replaced returns a sentence for a copy that has replaced the image with that digest.
func Replaced(digest string) string {
	return "It replaced " + digest + ", which the tag had at the destination."
}

// Left are layers that were left out.
type Left struct {
	Count int `json:"count"`
	// Digests are those of the first MaxLeft layers.
	Digests []string `json:"digests"`
}

// MaxLeft is how many of the layers that were left out are named.
const MaxLeft = 4

// String returns a part of a sentence.
func (l *Left) String() string {
	names := strings.Join(l.Digests, ", ")
	if l.Count > len(l.Digests) {
		names += " and others"
	}
	if l.Count == 1 {
		return "1 layer that may not be passed on was left out, since the source does not have it: " + names
	}
	return fmt.Sprintf("%d layers that may not be passed on were left out, since the source does not have them: %s", l.Count, names)
}

// Did says what a successful attempt did. to is empty or names the destination, as in " to host/app:1".
func (o *Outcome) Did(to string) string {
	there := o.BytesTotal - o.BytesCopied - o.BytesMounted
	var parts []string
	add := func(bytes int64, how string) {
		if bytes > 0 {
			parts = append(parts, FormatBytes(bytes)+" "+how)
		}
	}
	switch {
	case o.BytesCopied == 0 && o.BytesMounted == 0 && o.ManifestsWritten == 0:
		return "Already there, nothing was written" + to
	case o.BytesCopied == o.BytesTotal && o.BytesTotal > 0:
		return "Copied " + FormatBytes(o.BytesTotal) + to
	}
	add(o.BytesCopied, "copied")
	add(o.BytesMounted, "mounted")
	add(there, "found there")
	if o.BytesCopied == 0 && o.BytesMounted == 0 {
		parts = append(parts, "only manifests written")
	}
	return fmt.Sprintf("Copied %s%s: %s", FormatBytes(o.BytesTotal), to, strings.Join(parts, ", "))
}

// Notes says, in sentences, what a person should know of a successful attempt besides; empty when all is well.
func (o *Outcome) Notes() string {
	var notes []string
	if o.Left != nil {
		notes = append(notes, o.Left.String()+".")
	}
	if o.Unconfirmed != "" {
		notes = append(notes, "The destination accepted it, but it could not be read back: "+o.Unconfirmed)
	}
	return strings.Join(notes, " ")
}
