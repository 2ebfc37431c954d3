package cursor

import (
	"hash/crc32"
	"time"
)

// Position names the last line that was read of a run's log. The zero position stands before the first line.
type Position struct {
	// Nanos is the line's timestamp, in nanoseconds since 1970; 0 when lines have none.
	Nanos int64
	// count is the line's number, from 1, among neighbours with the same timestamp.
	count uint32
	// Sum is the Checksum of the line: after a rotation another line may be in its place.
	Sum uint32
	// ahead is by how many nanoseconds an earlier line's timestamp exceeds this one's: 0 unless the clock was set back.
	ahead int64
	// Cut means that count may be too low: the log was opened with its last lines only, and these may begin between lines
	// with the same timestamp.
	Cut bool
}

// IsZero reports whether p stands before the first line.
func (p Position) IsZero() bool { return p.count == 0 }

// Latest is the latest timestamp up to p, in nanoseconds since 1970.
func (p Position) Latest() int64 { return p.Nanos + p.ahead }

// Second is the second from which on a log must be read to find p again; zero stands for the beginning of the log.
func (p Position) Second() time.Time {
	if p.Nanos == 0 {
		return time.Time{}
	}
	return time.Unix(0, p.Nanos).Truncate(time.Second)
}

// IsAfter reports whether p is certainly not before a moment, which may have been cut to the second.
func (p Position) IsAfter(moment time.Time) bool {
	return time.Unix(0, p.Nanos).Sub(moment) >= time.Second
}

// Advance moves p to the next line.
func (p *Position) Advance(nanos int64, sum uint32) {
	latest := p.Latest()
	if nanos == p.Nanos {
		p.count++
	} else {
		p.Nanos, p.count, p.Cut = nanos, 1, p.Cut && p.count == 0
	}
	p.ahead, p.Sum = max(0, latest-nanos), sum
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Checksum is Position.Sum of a line with that message.
func Checksum(message []byte) uint32 { return crc32.Checksum(message, castagnoli) }

// Search finds a position in a log that was opened again somewhere before it. The lines up to it were read before.
type Search struct {
	// Want is the position.
	Want Position
	// Past means that the search is behind Want: all further lines are new.
	Past bool
	at   Position
}

// NewSearch returns a search for a position, from the beginning of a log.
func NewSearch(want Position) Search { return Search{Want: want, Past: want.IsZero()} }

// IsNew takes the log's next line and reports whether it follows Want. lost means that it does, but the line at Want was
// not there: lines between the two may be missing.
func (s *Search) IsNew(nanos int64, sum uint32) (isNew, lost bool) {
	switch {
	case s.Past:
		return true, false
	case s.IsPast(nanos):
		s.Past = true
		return true, true
	case nanos == 0 && s.Want.Nanos != 0:
		// The end of a line whose beginning lies before the moment that the log was opened at.
		return false, false
	}
	s.at.Advance(nanos, sum)
	s.Past = nanos == s.Want.Nanos && sum == s.Want.Sum &&
		(s.at.count == s.Want.count || s.Want.Cut && s.at.count > s.Want.count)
	return false, false
}

// IsPast reports whether a line with this timestamp can only follow Want.
func (s *Search) IsPast(nanos int64) bool { return s.Past || nanos > s.Want.Latest() }
