package podlog

import (
	"bytes"
	"time"
)

// stampReader cuts timestamps off lines.
type stampReader struct {
	// prefix is the last timestamp down to the second, seconds what it stands for.
	prefix  [len("2006-01-02T15:04:05")]byte
	seconds int64
}

// split cuts the RFC 3339 timestamp and the space behind it off a line. The timestamp is in nanoseconds since 1970; it
// is 0, and message the whole line, when there is none, or none between 1970 and 2262.
func (s *stampReader) split(line []byte) (nanos int64, message []byte) {
	if nanos, length := s.fixed(line); length > 0 {
		return nanos, line[length:]
	}
	prefix, _, _ := bytes.Cut(line[:min(len(line), maxPrefix)], []byte(" "))
	var t time.Time
	if err := t.UnmarshalText(prefix); err != nil || t.Year() < 1970 || t.Year() > 2261 || t.UnixNano() <= 0 {
		return 0, line
	}
	return t.UnixNano(), line[min(len(prefix)+1, len(line)):]
}

// fixed reads the form that kubelets write: UTC with nine digits. It returns how long the timestamp is with the space
// behind it, or 0 for any other form.
func (s *stampReader) fixed(line []byte) (nanos int64, length int) {
	const form = "2006-01-02T15:04:05.000000000Z "
	if len(line) < len(form) || line[len(form)-1] != ' ' || line[len(form)-2] != 'Z' || line[len(s.prefix)] != '.' {
		return 0, 0
	}
	for _, c := range line[len(s.prefix)+1 : len(form)-2] {
		if c < '0' || c > '9' {
			return 0, 0
		}
		nanos = 10*nanos + int64(c-'0')
	}
	if prefix := line[:len(s.prefix)]; string(prefix) != string(s.prefix[:]) {
		t, err := time.Parse("2006-01-02T15:04:05", string(prefix))
		if err != nil || t.Year() < 1970 || t.Year() > 2261 {
			return 0, 0
		}
		copy(s.prefix[:], prefix)
		s.seconds = t.Unix()
	}
	return s.seconds*int64(time.Second) + nanos, len(form)
}

// stampTime is the Line.Timestamp for nanos.
func stampTime(nanos int64) time.Time {
	if nanos == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanos).UTC()
}
