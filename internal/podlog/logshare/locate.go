package logshare

import "time"

// recently is how old the end of a ring may be so that its last lines count as the last lines of the log. A cluster that has
// sent nothing for that long is silent.
const recently = time.Second

// locate returns the offset of the first line that a request from b asks for, or of an earlier line whose timestamp is before
// b.since. ok is false when the line may be before the ring, or that is not known.
func (u *upstream) locate(b beginning, now time.Time) (_ int64, ok bool) {
	fresh := u.request.Ended || u.opened.IsZero() || now.Sub(u.opened) <= recently
	if b == u.beginning && u.start == 0 && fresh {
		return 0, true
	}
	if b.tail == noTail {
		return u.oldest(b)
	}
	return u.tail(b, now)
}

// oldest returns the offset of the first line in the ring, if every line before it has a timestamp before b.since.
func (u *upstream) oldest(b beginning) (_ int64, ok bool) {
	if u.before != noTime && b.since <= u.before {
		return 0, false
	}
	return u.firstLine()
}

// firstLine returns the offset of the first line in the ring.
func (u *upstream) firstLine() (_ int64, ok bool) {
	switch {
	case u.start == 0:
		return 0, true
	case len(u.lines) > 0:
		return u.lines[0].start, true
	default:
		return 0, false
	}
}

// tail returns the offset of the last b.tail lines. ok is false if one of them may have been stored in parts: a node counts
// each part as a line.
func (u *upstream) tail(b beginning, now time.Time) (offset int64, ok bool) {
	atEnd := u.atEnd(now)
	recent := !u.request.Ended && u.scan.last.time >= now.Add(-recently).UnixNano()
	if !atEnd && !recent || u.head-u.whole() > maxWholeLine {
		return 0, false
	}
	lines, end := u.wholeLines(), u.whole()
	if u.err != nil {
		// When the log has ended, a rest without a line end is a line.
		lines, end = u.lines, u.head
	}
	switch n := len(lines) - b.tail; {
	case n == len(lines):
		offset, ok = end, true
	case n >= 0:
		offset, ok = lines[n].start, true
	case atEnd && u.start == 0 && u.count < u.beginning.tail && b.since >= u.beginning.since:
		// The upstream has fewer lines than it asked for: these are all.
		offset, ok = 0, true
	default:
		offset, ok = u.oldest(b)
	}
	return offset, ok && offset >= u.scan.longEnd
}

// atEnd reports whether u has all that the log has now.
func (u *upstream) atEnd(now time.Time) bool {
	if u.request.Ended {
		return u.err != nil
	}
	return !u.opened.IsZero() && u.silent(now)
}

// silent reports whether the pump has waited for the cluster for a while.
func (u *upstream) silent(now time.Time) bool {
	return !u.waiting.IsZero() && now.Sub(u.waiting) >= recently
}
