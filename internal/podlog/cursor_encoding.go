package podlog

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"time"

	"pullwatch/internal/usererr"
)

// A cursor is, in base64, its version, a checksum of all that follows, the target, the time when the stream began, and
// the marks. Numbers are varints but for digests and checksums. The timestamp of a mark is relative to that of the mark
// before it, which keeps it short.
const (
	cursorVersion = 2
	cursorHeader  = 1 + 4
	// maxCursor bounds what is looked at, in bytes: several times the cursor of a thousand pods.
	maxCursor = 256 << 10
)

// Parts of a mark that are there, or are true.
const (
	hasRun = 1 << iota
	hasPosition
	isAhead
	isCut
	isDone
	isOver
	allFlags = 1<<iota - 1
)

// cursorEncoder writes a cursor.
type cursorEncoder struct {
	buf   []byte
	nanos int64
}

func newCursorEncoder(target uint64, begun time.Time, marks int) *cursorEncoder {
	e := &cursorEncoder{buf: make([]byte, cursorHeader, cursorHeader+20+32*marks)}
	e.buf[0] = cursorVersion
	e.buf = binary.BigEndian.AppendUint64(e.buf, target)
	if !begun.IsZero() {
		e.nanos = begun.UnixNano()
	}
	e.buf = binary.AppendVarint(e.buf, e.nanos)
	return e
}

func (e *cursorEncoder) add(key sourceKey, m mark) {
	e.buf = binary.BigEndian.AppendUint64(e.buf, uint64(key))
	if m.over {
		e.buf = append(e.buf, isOver)
		return
	}
	p := m.position
	flags := flagIf(m.run != 0, hasRun) | flagIf(!p.isZero(), hasPosition) | flagIf(p.ahead != 0, isAhead) |
		flagIf(p.cut, isCut) | flagIf(m.done, isDone)
	e.buf = append(e.buf, flags)
	if flags&hasRun != 0 {
		e.buf = binary.BigEndian.AppendUint32(e.buf, uint32(m.run))
		e.buf = binary.AppendUvarint(e.buf, uint64(m.restarts))
	}
	if flags&hasPosition != 0 {
		e.buf = binary.AppendVarint(e.buf, p.nanos-e.nanos)
		e.nanos = p.nanos
		e.buf = binary.AppendUvarint(e.buf, uint64(p.count))
		e.buf = binary.BigEndian.AppendUint32(e.buf, p.sum)
	}
	if flags&isAhead != 0 {
		e.buf = binary.AppendUvarint(e.buf, uint64(p.ahead))
	}
}

func (e *cursorEncoder) String() string {
	binary.BigEndian.PutUint32(e.buf[1:], crc32.Checksum(e.buf[cursorHeader:], castagnoli))
	return base64.RawURLEncoding.EncodeToString(e.buf)
}

func flagIf(set bool, bit byte) byte {
	if set {
		return bit
	}
	return 0
}

// decodeCursor reads the cursor of a stream of that target. Its errors are BAD_INPUT.
func decodeCursor(s string, target uint64) (*cursor, error) {
	c, err := parseCursor(s)
	if err != nil {
		return nil, usererr.Wrap(err, usererr.BadInput, "after is not a cursor of podLogs: %v. Pass the cursor of a batch "+
			"as it was, or leave after out to start anew", err)
	}
	if c.target != target {
		return nil, usererr.New(usererr.BadInput, "after is a cursor of another stream: namespace, pod, job, selector, "+
			"container and previous must be those of the stream that it came from")
	}
	return c, nil
}

func parseCursor(s string) (*cursor, error) {
	if len(s) > maxCursor {
		return nil, errors.New("it is too long")
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	switch {
	case err != nil || len(raw) < cursorHeader:
		return nil, errors.New("it is incomplete or has characters that no cursor has")
	case raw[0] != cursorVersion:
		return nil, errors.New("it is of another version of pullwatch")
	case binary.BigEndian.Uint32(raw[1:]) != crc32.Checksum(raw[cursorHeader:], castagnoli):
		return nil, errors.New("it was changed")
	}
	d := cursorDecoder{rest: raw[cursorHeader:]}
	c := &cursor{target: d.fixed64(), marks: map[sourceKey]mark{}}
	if d.nanos = d.varint(); d.nanos != 0 {
		c.begun = time.Unix(0, d.nanos)
	}
	for len(d.rest) > 0 && !d.invalid {
		key := sourceKey(d.fixed64())
		c.marks[key] = d.mark()
	}
	if d.invalid {
		return nil, errors.New("it was changed")
	}
	return c, nil
}

// cursorDecoder reads what cursorEncoder has written. Once invalid is set, it returns zeros.
type cursorDecoder struct {
	rest    []byte
	nanos   int64
	invalid bool
}

func (d *cursorDecoder) mark() mark {
	flags := d.take(1)[0]
	m := mark{done: flags&isDone != 0, over: flags&isOver != 0}
	m.position.cut = flags&isCut != 0
	if flags&hasRun != 0 {
		m.run = runKey(d.fixed32())
		m.restarts = int(min(d.uvarint(), math.MaxInt32))
	}
	if flags&hasPosition != 0 {
		d.nanos += d.varint()
		m.position.nanos = d.nanos
		m.position.count = uint32(min(d.uvarint(), math.MaxUint32))
		m.position.sum = d.fixed32()
	}
	if flags&isAhead != 0 {
		m.position.ahead = int64(min(d.uvarint(), math.MaxInt64))
	}
	p := m.position
	d.invalid = d.invalid || flags > allFlags || flags&hasRun != 0 && m.run == 0 || p.nanos < 0 || p.latest() < p.nanos
	return m
}

func (d *cursorDecoder) fixed64() uint64 { return binary.BigEndian.Uint64(d.take(8)) }
func (d *cursorDecoder) fixed32() uint32 { return binary.BigEndian.Uint32(d.take(4)) }

func (d *cursorDecoder) varint() int64 {
	n, size := binary.Varint(d.rest)
	d.skip(size)
	return n
}

func (d *cursorDecoder) uvarint() uint64 {
	n, size := binary.Uvarint(d.rest)
	d.skip(size)
	return n
}

// take returns the next n bytes, at most 8.
func (d *cursorDecoder) take(n int) []byte {
	if len(d.rest) < n {
		d.invalid = true
		return make([]byte, 8)
	}
	taken := d.rest[:n]
	d.rest = d.rest[n:]
	return taken
}

func (d *cursorDecoder) skip(size int) {
	if size <= 0 {
		d.invalid, d.rest = true, nil
		return
	}
	d.rest = d.rest[size:]
}
