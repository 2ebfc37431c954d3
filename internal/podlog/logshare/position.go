package logshare

import "time"

// recently is how old a ring's end may be for the last lines there to be taken for the last lines of the log. A cluster
// that has brought nothing for that long is silent.
const recently = time.Second

// position returns where a request that begins at b finds its first line, or one that it leaves out by its timestamp.
// ok is false when that may be before the ring, or cannot be told.
func (u *upstream) position(b beginning, now time.Time) (_ int64, ok bool) {
	fresh := u.request.Ended || u.opened.IsZero() || now.Sub(u.opened) <= recently
	if b == u.beginning && u.start == 0 && fresh {
		return 0, true
	}
	if b.tail == noTail {
		return u.oldest(b)
	}
	return u.tail(b, now)
}

// oldest returns the beginning of the ring, provided that every line before it is dated before b.
func (u *upstream) oldest(b beginning) (_ int64, ok bool) {
	if u.before != noTime && b.since <= u.before {
		return 0, false
	}
	return u.firstLine()
}

// firstLine returns where the first line begins that the ring holds.
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

// tail returns where the last lines begin. Where there are lines that the container runtime may have stored in parts,
// each counted as a line, that cannot be told.
func (u *upstream) tail(b beginning, now time.Time) (position int64, ok bool) {
	atEnd := u.atEnd(now)
	recent := !u.request.Ended && u.scan.last.time >= now.Add(-recently).UnixNano()
	if !atEnd && !recent || u.head-u.whole() > maxWholeLine {
		return 0, false
	}
	lines, end := u.wholeLines(), u.whole()
	if u.err != nil {
		// Where a log has ended, a line without its end is one.
		lines, end = u.lines, u.head
	}
	switch n := len(lines) - b.tail; {
	case n == len(lines):
		position, ok = end, true
	case n >= 0:
		position, ok = lines[n].start, true
	case atEnd && u.start == 0 && u.count < u.beginning.tail && b.since >= u.beginning.since:
		// There were fewer lines than the upstream had asked for, so these are all.
		position, ok = 0, true
	default:
		position, ok = u.oldest(b)
	}
	return position, ok && position >= u.scan.longEnd
}

// atEnd reports whether u has brought all that there is.
func (u *upstream) atEnd(now time.Time) bool {
	if u.request.Ended {
		return u.err != nil
	}
	return !u.opened.IsZero() && u.silent(now)
}

// silent reports whether the cluster has brought nothing for a while, although the pump waits for it.
func (u *upstream) silent(now time.Time) bool {
	return !u.waiting.IsZero() && now.Sub(u.waiting) >= recently
}
