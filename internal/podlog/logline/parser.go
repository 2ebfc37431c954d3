// Package logline reads the lines of pod logs: Reader splits a log into lines, Parser cuts off the timestamps that kubelets
// put before them, and AppendMessage makes valid UTF-8 of bounded length of the rest.
package logline

import (
	"bytes"
	"time"
)

// MaxLength is how many bytes a timestamp and the space behind it have at most.
const MaxLength = 64

// The format of the timestamps that kubelets write, with nine digits of a second, and lengths of its parts.
const (
	minuteFormat = "2006-01-02T15:04"
	secondLength = len("2006-01-02T15:04:05")
	nanosLength  = len("2006-01-02T15:04:05.000000000")
)

// endSecond is the first second of 2262: an int64 of nanoseconds since 1970 does not reach the end of that year.
var endSecond = time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC).Unix()

// Parser reads the timestamps of a log's lines. It remembers the minute of the last line, which is mostly that of the next,
// too. The zero Parser is ready for use, by one goroutine at a time.
type Parser struct {
	minute [len(minuteFormat)]byte
	// seconds is when the minute begins, in seconds since 1970.
	seconds int64
}

// Cut splits a line into its RFC 3339 timestamp, in nanoseconds since 1970, and the message behind the timestamp and a
// space. The timestamp must end at a space or at the line's end, and be later than the beginning of 1970 and before 2262.
// Otherwise nanos is 0 and message the whole line. Cut looks for the timestamp in the first MaxLength bytes.
func (p *Parser) Cut(line []byte) (nanos int64, message []byte) {
	if nanos, length := p.fixed(line); length > 0 {
		return nanos, line[length:]
	}
	prefix := line[:min(len(line), MaxLength)]
	end := bytes.IndexAny(prefix, " \n")
	switch {
	case end >= 0:
		prefix = prefix[:end]
	case len(prefix) == MaxLength:
		return 0, line
	}
	var t time.Time
	if err := t.UnmarshalText(prefix); err != nil || !inRange(t.Unix(), int64(t.Nanosecond())) {
		return 0, line
	}
	return t.UnixNano(), bytes.TrimPrefix(line[len(prefix):], []byte(" "))
}

// fixed reads a timestamp in the format that kubelets write. It returns the length of the timestamp and the space behind
// it, or 0 for any other format.
func (p *Parser) fixed(line []byte) (nanos int64, length int) {
	if len(line) <= nanosLength || line[len(minuteFormat)] != ':' || line[secondLength] != '.' {
		return 0, 0
	}
	offset, zoneLength := parseZone(line[nanosLength:])
	if zoneLength == 0 || !p.setMinute(line[:len(minuteFormat)]) {
		return 0, 0
	}
	second, secondOK := digits(line[len(minuteFormat)+1 : secondLength])
	fraction, fractionOK := digits(line[secondLength+1 : nanosLength])
	if !secondOK || !fractionOK || second > 59 {
		return 0, 0
	}
	second += p.seconds - offset
	if !inRange(second, fraction) {
		return 0, 0
	}
	return second*int64(time.Second) + fraction, nanosLength + zoneLength
}

// inRange reports whether Cut may return a moment.
func inRange(second, nanos int64) bool {
	return second > 0 && second < endSecond || second == 0 && nanos > 0
}

// setMinute makes p remember a minute, if it is one.
func (p *Parser) setMinute(minute []byte) (ok bool) {
	// A new Parser remembers zero bytes, which are no minute.
	if minute[0] != 0 && string(p.minute[:]) == string(minute) {
		return true
	}
	t, err := time.Parse(minuteFormat, string(minute))
	if err != nil {
		return false
	}
	copy(p.minute[:], minute)
	p.seconds = t.Unix()
	return true
}

// parseZone reads a time zone such as Z or +07:00. It returns by how many seconds the zone is ahead of UTC, and the length of
// the zone and the space behind it, or 0 if text does not begin with a zone.
func parseZone(text []byte) (offset int64, length int) {
	const utc, numeric = len("Z "), len("+07:00 ")
	if len(text) >= utc && text[0] == 'Z' && text[1] == ' ' {
		return 0, utc
	}
	if len(text) < numeric || text[3] != ':' || text[6] != ' ' {
		return 0, 0
	}
	hours, hoursOK := digits(text[1:3])
	minutes, minutesOK := digits(text[4:6])
	if !hoursOK || !minutesOK || hours > 23 || minutes > 59 {
		return 0, 0
	}
	offset = hours*3600 + minutes*60
	switch text[0] {
	case '+':
		return offset, numeric
	case '-':
		return -offset, numeric
	default:
		return 0, 0
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
