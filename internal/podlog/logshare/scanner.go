package logshare

import (
	"bytes"
	"math"

	"pullwatch/internal/podlog/logline"
)

// Timestamps of no line: noTime is before, anyTime after all of them.
const (
	noTime  = math.MinInt64
	anyTime = math.MaxInt64
)

// line is where a line of an upstream begins, in bytes from the upstream's beginning, and its timestamp in nanoseconds
// since 1970: that of the line before when it has none.
type line struct{ start, time int64 }

// scanner finds the lines in what an upstream brings piece by piece, and their timestamps.
type scanner struct {
	stamps logline.Parser
	// offset is where the next piece begins.
	offset int64
	// lineStart is where the present line begins. While its timestamp has not come in full, prefix holds what has.
	lineStart int64
	prefix    []byte
	// found means that the present line is among the lines found.
	found bool
	last  line
	// ordered is where the lines begin that have rising timestamps up to here.
	ordered int64
	// longEnd is where the last line ended that is longer than maxWholeLine.
	longEnd int64
}

// unordered stands for scanner.ordered when the present line does not have a timestamp.
const unordered = math.MaxInt64

// maxWholeLine is the length from which on container runtimes store a line in parts. For a tail each part counts as a
// line.
const maxWholeLine = 8 << 10

func newScanner() scanner {
	return scanner{prefix: make([]byte, 0, logline.MaxLength), last: line{time: noTime}}
}

// scan appends the lines to found whose timestamps piece completes.
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

// stamp reads the timestamp of the present line, of which piece is the beginning or, when there is a prefix, more.
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

// finish is called at the end of the upstream: what has come of a timestamp is all that there is.
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
