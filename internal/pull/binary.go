package pull

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// BinaryVersion is the version of what replicas store in Redis. It is in the names of all keys and in the first byte of a State's
// binary form. Raise it whenever that form changes, or the form of anything else that is stored.
const BinaryVersion = 7

// ErrOtherVersion means that another version of pullwatch has made a binary form.
var ErrOtherVersion = errors.New("another version of pullwatch wrote it")

// The binary form of a State is the BinaryVersion, a byte, and the fields in a fixed order, without names. Integers are varints. A
// string is preceded by its length, an optional value by a byte that is 0 or 1. A boolean is such a byte.

// AppendBinary appends the binary form of s to b. It never fails. It leaves out the monotonic clock readings of times.
func (s *State) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, BinaryVersion)
	b = appendString(b, s.ID)
	b = appendString(b, s.Namespace)
	b = appendReference(b, &s.Image)
	b = appendReference(b, &s.Destination)
	b = appendStrings(b, s.Platforms)
	b = appendString(b, string(s.Phase))
	b = appendString(b, s.Message)
	b = appendBool(b, &s.Held)
	b = appendProgress(b, &s.Progress)
	b = binary.AppendVarint(b, int64(s.Attempts))
	b = appendOptional(b, s.Confirmed, appendBool)
	b = appendOptional(b, s.Failure, appendFailure)
	b = appendOptional(b, s.RetryOf, appendStringAt)
	for _, t := range [...]time.Time{s.CreatedAt, s.StartedAt, s.FinishedAt, s.UpdatedAt} {
		b = appendTime(b, t)
	}
	b = binary.AppendUvarint(b, s.Revision.Cluster)
	b = binary.AppendUvarint(b, s.Revision.Pods)
	b = binary.AppendUvarint(b, s.Revision.Step)
	b = appendString(b, s.Position.Log)
	b = binary.AppendUvarint(b, s.Position.Seq)
	b = appendString(b, s.Position.Replica)
	for _, n := range [...]uint64{s.Position.Local, s.Position.Jobs, s.Position.Pods} {
		b = binary.AppendUvarint(b, n)
	}
	return b, nil
}

// UnmarshalBinary sets s to what AppendBinary wrote. When data is not exactly one State, it returns an error and does not change s.
// The error is ErrOtherVersion when the first byte is not BinaryVersion. It does not keep data.
func (s *State) UnmarshalBinary(data []byte) error {
	// One copy that all strings share costs less than one for each.
	d := decoder{rest: string(data)}
	if version := d.byte(); d.err == nil && version != BinaryVersion {
		return fmt.Errorf("decode pull: %w, in version %d; this replica reads version %d", ErrOtherVersion, version, BinaryVersion)
	}
	read := State{
		ID:          d.string(),
		Namespace:   d.string(),
		Image:       d.reference(),
		Destination: d.reference(),
		Platforms:   d.strings(),
		Phase:       Phase(d.string()),
		Message:     d.string(),
		Held:        d.bool(),
		Progress:    d.progress(),
		Attempts:    int(d.varint()),
		Confirmed:   optional(&d, d.bool),
		Failure:     optional(&d, d.failure),
		RetryOf:     optional(&d, d.string),
		CreatedAt:   d.time(),
		StartedAt:   d.time(),
		FinishedAt:  d.time(),
		UpdatedAt:   d.time(),
		Revision:    Revision{Cluster: d.uvarint(), Pods: d.uvarint(), Step: d.uvarint()},
		Position:    Position{Log: d.string(), Seq: d.uvarint(), Replica: d.string(), Local: d.uvarint(), Jobs: d.uvarint(), Pods: d.uvarint()},
	}
	if d.err == nil && d.rest != "" {
		d.fail(errTrailing)
	}
	if d.err != nil {
		return fmt.Errorf("decode pull: %w", d.err)
	}
	*s = read
	return nil
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func appendStrings(b []byte, all []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(all)))
	for _, s := range all {
		b = appendString(b, s)
	}
	return b
}

func appendStringAt(b []byte, s *string) []byte { return appendString(b, *s) }

func appendInteger[T int | int64](b []byte, n *T) []byte { return binary.AppendVarint(b, int64(*n)) }

func appendBool(b []byte, v *bool) []byte {
	if *v {
		return append(b, 1)
	}
	return append(b, 0)
}

func appendOptional[T any](b []byte, value *T, appendValue func([]byte, *T) []byte) []byte {
	if value == nil {
		return append(b, 0)
	}
	return appendValue(append(b, 1), value)
}

func appendReference(b []byte, r *ImageReference) []byte {
	b = appendString(b, r.Name)
	b = appendString(b, r.Registry)
	b = appendString(b, r.Repository)
	b = appendOptional(b, r.Tag, appendStringAt)
	return appendOptional(b, r.Digest, appendStringAt)
}

func appendProgress(b []byte, p *Progress) []byte {
	b = binary.AppendVarint(b, int64(p.Percent))
	b = binary.AppendVarint(b, p.BytesDone)
	b = appendOptional(b, p.BytesTotal, appendInteger)
	b = appendOptional(b, p.BytesPerSecond, appendInteger)
	return appendOptional(b, p.SecondsLeft, appendInteger)
}

func appendFailure(b []byte, f *Failure) []byte {
	b = appendString(b, string(f.Reason))
	b = appendString(b, f.Message)
	return appendStrings(b, f.LogTail)
}

// zeroUnix is the zero time.Time in Unix seconds; counted from there, the zero time takes two bytes.
var zeroUnix = time.Time{}.Unix()

func appendTime(b []byte, t time.Time) []byte {
	b = binary.AppendVarint(b, t.Unix()-zeroUnix)
	return binary.AppendUvarint(b, uint64(t.Nanosecond()))
}

var (
	errShort    = errors.New("it ends too early")
	errTrailing = errors.New("something follows its end")
	errNumber   = errors.New("a number is too large")
	errPresence = errors.New("a mark is neither 0 nor 1")
)

// decoder reads one value after the other. After the first error it returns zero values.
type decoder struct {
	rest string
	err  error
}

// fail keeps the first error and leaves nothing to read.
func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err, d.rest = err, ""
	}
}

func (d *decoder) byte() byte {
	if d.rest == "" {
		d.fail(errShort)
		return 0
	}
	c := d.rest[0]
	d.rest = d.rest[1:]
	return c
}

func (d *decoder) uvarint() uint64 {
	var n uint64
	for i := range binary.MaxVarintLen64 {
		c := d.byte()
		if i == binary.MaxVarintLen64-1 && c > 1 {
			break
		}
		n |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			return n
		}
	}
	d.fail(errNumber)
	return 0
}

func (d *decoder) varint() int64 {
	n := d.uvarint()
	return int64(n>>1) ^ -int64(n&1)
}

func (d *decoder) string() string {
	n := d.uvarint()
	if n > uint64(len(d.rest)) {
		d.fail(errShort)
		return ""
	}
	s := d.rest[:n]
	d.rest = d.rest[n:]
	return s
}

// strings returns nil when there are none.
func (d *decoder) strings() []string {
	n := d.uvarint()
	// Every string takes at least a byte, so this allocates no more than the input could fill.
	if n > uint64(len(d.rest)) {
		d.fail(errShort)
	}
	if n == 0 || d.err != nil {
		return nil
	}
	all := make([]string, n)
	for i := range all {
		all[i] = d.string()
	}
	return all
}

func (d *decoder) bool() bool {
	switch d.byte() {
	case 0:
		return false
	case 1:
		return true
	}
	d.fail(errPresence)
	return false
}

func optional[T any](d *decoder, read func() T) *T {
	switch d.byte() {
	case 0:
		return nil
	case 1:
		value := read()
		return &value
	}
	d.fail(errPresence)
	return nil
}

func (d *decoder) reference() ImageReference {
	return ImageReference{
		Name:       d.string(),
		Registry:   d.string(),
		Repository: d.string(),
		Tag:        optional(d, d.string),
		Digest:     optional(d, d.string),
	}
}

func (d *decoder) progress() Progress {
	return Progress{
		Percent:        int(d.varint()),
		BytesDone:      d.varint(),
		BytesTotal:     optional(d, d.varint),
		BytesPerSecond: optional(d, d.varint),
		SecondsLeft:    optional(d, func() int { return int(d.varint()) }),
	}
}

func (d *decoder) failure() Failure {
	f := Failure{Reason: FailureReason(d.string()), Message: d.string(), LogTail: d.strings()}
	if f.LogTail == nil {
		f.LogTail = []string{}
	}
	return f
}

func (d *decoder) time() time.Time {
	seconds, nanoseconds := d.varint(), d.uvarint()
	if nanoseconds >= uint64(time.Second) {
		d.fail(errNumber)
		return time.Time{}
	}
	return time.Unix(seconds+zeroUnix, int64(nanoseconds)).UTC()
}
