package podlog

import "time"

// position is how far a container's log has been read: up to, and with, the count-th line at a timestamp. Lines at an
// earlier timestamp are behind it.
type position struct {
	timestamp time.Time
	count     int
}

// advance moves p behind a line that was read after all others. A line that the container runtime wrote late, with a
// timestamp before p's, leaves p where it is.
func (p *position) advance(timestamp time.Time) {
	switch timestamp.Compare(p.timestamp) {
	case 1:
		*p = position{timestamp: timestamp, count: 1}
	case 0:
		p.count++
	}
}

// overlap tells which lines of a log that was opened again have been read before: the log starts anew at some moment
// before position.
type overlap struct {
	position position
	seen     int
}

// covers reports whether the next line, at timestamp, has been read before.
func (o *overlap) covers(timestamp time.Time) bool {
	switch timestamp.Compare(o.position.timestamp) {
	case -1:
		return true
	case 0:
		o.seen++
		return o.seen <= o.position.count
	default:
		// Everything from here on is new, also a late line with an earlier timestamp.
		o.position = position{}
		return false
	}
}
