package logshare

import (
	"bytes"
	"math"
	"time"
)

// stampLimit is longer than any timestamp and the space behind it.
const stampLimit = 64

// The form of timestamps that kubelets write, with nine digits of a second, and its parts.
const (
	dateLength  = len("2006-01-02")
	nanosLength = len("2006-01-02T15:04:05.000000000")
	utcLength   = nanosLength + len("Z ")
	zoneLength  = nanosLength + len("+07:00 ")
)

// stampParser reads the timestamps of a log's lines, as nanoseconds since 1970. It remembers the day, which seldom
// changes.
type stampParser struct {
	date     [dateLength]byte
	midnight int64
}

// parse returns the timestamp that a line begins with. ok is false when there is none, also when the line was cut
// within it.
func (p *stampParser) parse(line []byte) (nanos int64, ok bool) {
	if nanos, ok := p.parseFixed(line); ok {
		return nanos, true
	}
	prefix, _, _ := bytes.Cut(line[:min(len(line), stampLimit)], []byte(" "))
	var t time.Time
	if err := t.UnmarshalText(prefix); err != nil || !representable(t) {
		return 0, false
	}
	return t.UnixNano(), true
}

// representable reports whether nanoseconds since 1970 can tell t.
func representable(t time.Time) bool {
	return t.Unix() > math.MinInt64/int64(time.Second) && t.Unix() < math.MaxInt64/int64(time.Second)
}

// parseFixed reads the form that kubelets write.
func (p *stampParser) parseFixed(line []byte) (nanos int64, ok bool) {
	if len(line) < utcLength {
		return 0, false
	}
	var offset int64
	switch {
	case line[nanosLength] == 'Z' && line[utcLength-1] == ' ':
	case len(line) >= zoneLength && line[zoneLength-1] == ' ':
		if offset, ok = parseOffset(line[nanosLength : zoneLength-1]); !ok {
			return 0, false
		}
	default:
		return 0, false
	}
	if line[10] != 'T' || line[13] != ':' || line[16] != ':' || line[19] != '.' {
		return 0, false
	}
	hour, hourOK := digits(line[11:13])
	minute, minuteOK := digits(line[14:16])
	second, secondOK := digits(line[17:19])
	fraction, fractionOK := digits(line[20:nanosLength])
	if !hourOK || !minuteOK || !secondOK || !fractionOK || hour > 23 || minute > 59 || second > 59 {
		return 0, false
	}
	if !p.setDate(line[:dateLength]) {
		return 0, false
	}
	return p.midnight + (hour*3600+minute*60+second-offset)*int64(time.Second) + fraction, true
}

func (p *stampParser) setDate(date []byte) (ok bool) {
	if string(p.date[:]) == string(date) {
		return true
	}
	t, err := time.Parse(time.DateOnly, string(date))
	if err != nil || !representable(t.AddDate(0, 0, 2)) || !representable(t.AddDate(0, 0, -2)) {
		return false
	}
	copy(p.date[:], date)
	p.midnight = t.UnixNano()
	return true
}

// parseOffset reads a zone like +07:00, in seconds.
func parseOffset(zone []byte) (seconds int64, ok bool) {
	hours, hoursOK := digits(zone[1:3])
	minutes, minutesOK := digits(zone[4:6])
	if !hoursOK || !minutesOK || zone[3] != ':' || hours > 23 || minutes > 59 {
		return 0, false
	}
	seconds = hours*3600 + minutes*60
	switch zone[0] {
	case '+':
		return seconds, true
	case '-':
		return -seconds, true
	default:
		return 0, false
	}
}

func digits(text []byte) (n int64, ok bool) {
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int64(c-'0')
	}
	return n, true
}
