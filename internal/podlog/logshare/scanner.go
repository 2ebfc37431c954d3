package logshare

import (
	"bytes"
	"math"

	"pullwatch/internal/podlog/logline"
)

// No line has these timestamps: noTime is before all others, anyTime after them.
const (
	noTime  = math.MinInt64
	anyTime = math.MaxInt64
)

// line is the offset where a line of an upstream begins, in bytes, and its timestamp in nanoseconds since 1970. A line without
// a timestamp has that of the line before.
type line struct{ start, time int64 }

// scanner finds lines and their timestamps in the bytes of an upstream, which come in pieces.
type scanner struct {
	stamps logline.Parser
	// offset is where the next piece begins.
	offset int64
	// lineStart is where the current line begins. prefix holds its beginning until its timestamp is whole.
	lineStart int64
	prefix    []byte
	// found means that the current line was found. last is the last line that was found.
	found bool
	last  line
	// ordered is the offset from which on timestamps rise.
	ordered int64
	// longEnd is where the last line ended that was longer than maxWholeLine.
	longEnd int64
}

// unordered is scanner.ordered when the last line has no timestamp.
const unordered = math.MaxInt64

// maxWholeLine is the length, in bytes, from which on container runtimes store a line in parts. For a tail, a node counts each
// part as a line.
const maxWholeLine = 8 << 10

func newScanner() scanner {
	return scanner{prefix: make([]byte, 0, logline.MaxLength), last: line{time: noTime}}
}

// scan takes the next piece. It appends the lines whose timestamps are whole now to found.
func (s *scanner) scan(piece []byte, found []line) []line {
	s.offset += int64(len(piece))
	for {
		if !s.found {
			found = s.stamp(piece, found)
		}
		end := bytes.IndexByte(piece, '\n')
		if end < 0 {
			return found
		}
		piece = piece[end+1:]
		next := s.offset - int64(len(piece))
		if next-s.lineStart > maxWholeLine {
			s.longEnd = next
		}
		s.lineStart, s.found = next, false
		s.prefix = s.prefix[:0]
		if len(piece) == 0 {
			return found
		}
	}
}

// stamp reads the timestamp of the current line. piece is the beginning of the line or, if there is a prefix, follows that.
func (s *scanner) stamp(piece []byte, found []line) []line {
	if len(s.prefix) > 0 || len(piece) < logline.MaxLength {
		s.prefix = append(s.prefix, piece[:min(len(piece), logline.MaxLength-len(s.prefix))]...)
		if len(s.prefix) < logline.MaxLength && !bytes.ContainsAny(s.prefix, " \n") {
			return found
		}
		piece = s.prefix
	}
	nanos, _ := s.stamps.Cut(piece)
	return s.add(nanos, nanos != 0, found)
}

// finish is called at the end of the upstream. A part of a timestamp then is a line without a timestamp.
func (s *scanner) finish(found []line) []line {
	if s.found || s.offset == s.lineStart {
		return found
	}
	s.found = true
	return append(found, line{start: s.lineStart, time: noTime})
}

func (s *scanner) add(nanos int64, stamped bool, found []line) []line {
	switch {
	case !stamped:
		s.ordered = unordered
		nanos = s.last.time
	case s.ordered == unordered || nanos < s.last.time:
		s.ordered = s.lineStart
	}
	s.found = true
	s.last = line{start: s.lineStart, time: nanos}
	return append(found, s.last)
}
