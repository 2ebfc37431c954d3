package cursor

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"time"

	"pullwatch/internal/usererr"
)

// A cursor as text is base64 of: its version, a checksum of the rest, Target, Begun, and the key and Progress of each
// container. Numbers are varints, except digests and checksums. Each timestamp is written as its difference from the one
// before, which is short.
const (
	version    = 2
	headerSize = 1 + 4
	// maxSize is the longest text that is read, in bytes: several times the cursor of a thousand pods.
	maxSize = 256 << 10
)

// Flags of a Progress: which parts follow, and what is true.
const (
	hasRun = 1 << iota
	hasPosition
	isAhead
	isCut
	isDone
	isOver
	allFlags = 1<<iota - 1
)

// Encoder writes a cursor as text.
type Encoder struct {
	buf []byte
	// nanos is the last timestamp that was written.
	nanos int64
}

// NewEncoder returns an Encoder of a cursor with room for that many containers.
func NewEncoder(target uint64, begun time.Time, containers int) *Encoder {
	e := &Encoder{buf: make([]byte, headerSize, headerSize+20+32*containers)}
	e.buf[0] = version
	e.buf = binary.BigEndian.AppendUint64(e.buf, target)
	if !begun.IsZero() {
		e.nanos = begun.UnixNano()
	}
	e.buf = binary.AppendVarint(e.buf, e.nanos)
	return e
}

// Add adds a container.
func (e *Encoder) Add(key ContainerKey, p Progress) {
	e.buf = binary.BigEndian.AppendUint64(e.buf, uint64(key))
	if p.Over {
		e.buf = append(e.buf, isOver)
		return
	}
	position := p.Position
	flags := flagIf(p.Run != 0, hasRun) | flagIf(!position.IsZero(), hasPosition) | flagIf(position.ahead != 0, isAhead) |
		flagIf(position.Cut, isCut) | flagIf(p.Done, isDone)
	e.buf = append(e.buf, flags)
	if flags&hasRun != 0 {
		e.buf = binary.BigEndian.AppendUint32(e.buf, uint32(p.Run))
		e.buf = binary.AppendUvarint(e.buf, uint64(p.Restarts))
	}
	if flags&hasPosition != 0 {
		e.buf = binary.AppendVarint(e.buf, position.Nanos-e.nanos)
		e.nanos = position.Nanos
		e.buf = binary.AppendUvarint(e.buf, uint64(position.count))
		e.buf = binary.BigEndian.AppendUint32(e.buf, position.Sum)
	}
	if flags&isAhead != 0 {
		e.buf = binary.AppendUvarint(e.buf, uint64(position.ahead))
	}
}

// String returns the cursor. The Encoder is not used any more.
func (e *Encoder) String() string {
	binary.BigEndian.PutUint32(e.buf[1:], crc32.Checksum(e.buf[headerSize:], castagnoli))
	return base64.RawURLEncoding.EncodeToString(e.buf)
}

func flagIf(set bool, bit byte) byte {
	if set {
		return bit
	}
	return 0
}

// Decode reads a cursor of a stream with that Cursor.Target. Its errors are BAD_INPUT.
func Decode(s string, target uint64) (*Cursor, error) {
	c, err := Parse(s)
	if err != nil {
		return nil, usererr.Wrap(err, usererr.BadInput, "after is not a cursor of podLogs: %v. Pass the cursor of a batch "+
			"as it was, or leave after out to start anew", err)
	}
	if c.Target != target {
		return nil, usererr.New(usererr.BadInput, "after is a cursor of another stream: namespace, pod, job, workload, selector, "+
			"container, containers and previous must be those of the stream that it came from")
	}
	return c, nil
}

// Parse reads a cursor. Its errors say, for people, what is wrong with s.
func Parse(s string) (*Cursor, error) {
	if len(s) > maxSize {
		return nil, errors.New("it is too long")
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	switch {
	case err != nil || len(raw) < headerSize:
		return nil, errors.New("it is incomplete or has characters that no cursor has")
	case raw[0] != version:
		return nil, errors.New("it is of another version of pullwatch")
	case binary.BigEndian.Uint32(raw[1:]) != crc32.Checksum(raw[headerSize:], castagnoli):
		return nil, errors.New("it was changed")
	}
	d := decoder{rest: raw[headerSize:]}
	c := &Cursor{Target: d.fixed64(), Containers: map[ContainerKey]Progress{}}
	if d.nanos = d.varint(); d.nanos != 0 {
		c.Begun = time.Unix(0, d.nanos)
	}
	for len(d.rest) > 0 && !d.invalid {
		key := ContainerKey(d.fixed64())
		c.Containers[key] = d.progress()
	}
	if d.invalid {
		return nil, errors.New("it was changed")
	}
	return c, nil
}

// decoder reads what Encoder has written. Once invalid is set, it returns zeros.
type decoder struct {
	rest []byte
	// nanos is the last timestamp that was read.
	nanos   int64
	invalid bool
}

func (d *decoder) progress() Progress {
	flags := d.take(1)[0]
	p := Progress{Done: flags&isDone != 0, Over: flags&isOver != 0}
	position := &p.Position
	position.Cut = flags&isCut != 0
	if flags&hasRun != 0 {
		p.Run = RunKey(d.fixed32())
		p.Restarts = int(min(d.uvarint(), math.MaxInt32))
	}
	if flags&hasPosition != 0 {
		d.nanos += d.varint()
		position.Nanos = d.nanos
		position.count = uint32(min(d.uvarint(), math.MaxUint32))
		position.Sum = d.fixed32()
	}
	if flags&isAhead != 0 {
		position.ahead = int64(min(d.uvarint(), math.MaxInt64))
	}
	d.invalid = d.invalid || flags > allFlags || flags&hasRun != 0 && p.Run == 0 || position.Nanos < 0 ||
		position.Latest() < position.Nanos
	return p
}

func (d *decoder) fixed64() uint64 { return binary.BigEndian.Uint64(d.take(8)) }
func (d *decoder) fixed32() uint32 { return binary.BigEndian.Uint32(d.take(4)) }

func (d *decoder) varint() int64 {
	n, size := binary.Varint(d.rest)
	d.skip(size)
	return n
}

func (d *decoder) uvarint() uint64 {
	n, size := binary.Uvarint(d.rest)
	d.skip(size)
	return n
}

// take returns the next n bytes, at most 8.
func (d *decoder) take(n int) []byte {
	if len(d.rest) < n {
		d.invalid = true
		return make([]byte, 8)
	}
	taken := d.rest[:n]
	d.rest = d.rest[n:]
	return taken
}

func (d *decoder) skip(size int) {
	if size <= 0 {
		d.invalid, d.rest = true, nil
		return
	}
	d.rest = d.rest[size:]
}
