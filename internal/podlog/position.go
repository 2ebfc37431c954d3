package podlog

import (
	"hash/crc32"
	"time"
)

// position names the last line that was read of a run's log. The zero position stands before the first line.
type position struct {
	// nanos is the line's timestamp, in nanoseconds since 1970; 0 when lines have none.
	nanos int64
	// count is the line's place, from 1, among neighbours of the same timestamp.
	count uint32
	// sum is a checksum of the line: what stands at its place after a rotation is another line.
	sum uint32
	// ahead is how much later the latest timestamp before the line is: 0 unless the clock was set back.
	ahead int64
	// cut means that count began within lines of the same timestamp, as the last lines of a log may.
	cut bool
}

// isZero reports whether p stands before the first line.
func (p position) isZero() bool { return p.count == 0 }

// latest is the latest timestamp up to p.
func (p position) latest() int64 { return p.nanos + p.ahead }

// second is the moment, cut to the second, from which on a log must be read to find p again; zero for its beginning.
func (p position) second() time.Time {
	if p.nanos == 0 {
		return time.Time{}
	}
	return time.Unix(0, p.nanos).Truncate(time.Second)
}

// isAfter reports whether p is certainly not before a moment that may be known to the second only.
func (p position) isAfter(moment time.Time) bool {
	return time.Unix(0, p.nanos).Sub(moment) >= time.Second
}

// advance moves p to the next line.
func (p *position) advance(nanos int64, sum uint32) {
	latest := p.latest()
	if nanos == p.nanos {
		p.count++
	} else {
		p.nanos, p.count, p.cut = nanos, 1, p.cut && p.count == 0
	}
	p.ahead, p.sum = max(0, latest-nanos), sum
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(message []byte) uint32 { return crc32.Checksum(message, castagnoli) }

// search finds a position in a log that was opened again somewhere before it. The lines up to it were read before.
type search struct {
	want position
	at   position
	// over means that what comes is new.
	over bool
}

func newSearch(want position) search { return search{want: want, over: want.isZero()} }

// isNew reports whether a line follows the position. lost is set when it does and the line of the position was not
// there, so that others between the two may be missing.
func (s *search) isNew(nanos int64, sum uint32) (isNew, lost bool) {
	switch {
	case s.over:
		return true, false
	case s.passes(nanos):
		s.over = true
		return true, true
	case nanos == 0 && s.want.nanos != 0:
		// The end of a line whose beginning lies before the moment that the log was opened at.
		return false, false
	}
	s.at.advance(nanos, sum)
	s.over = nanos == s.want.nanos && sum == s.want.sum &&
		(s.at.count == s.want.count || s.want.cut && s.at.count > s.want.count)
	return false, false
}

// passes reports whether a line of that timestamp can only come after the position.
func (s *search) passes(nanos int64) bool { return s.over || nanos > s.want.latest() }
