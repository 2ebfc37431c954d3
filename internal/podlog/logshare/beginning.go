package logshare

import (
	"math"
	"time"

	"pullwatch/internal/podlog"
)

// beginning says where a request begins: with the last tail lines, or with all if tail is noTail, and of these only the ones
// with a timestamp of since or later.
type beginning struct {
	tail  int
	since int64
}

const noTail = -1

func newBeginning(req podlog.LogRequest) beginning {
	b := beginning{tail: noTail, since: noTime}
	if req.Tail != nil {
		b.tail = *req.Tail
	}
	if !req.Since.IsZero() && representable(req.Since) {
		b.since = req.Since.UnixNano()
	}
	return b
}

// representable reports whether an int64 of nanoseconds since 1970 can hold t.
func representable(t time.Time) bool {
	return t.Unix() > math.MinInt64/int64(time.Second) && t.Unix() < math.MaxInt64/int64(time.Second)
}

// before is the latest timestamp of lines that a request leaves out: anyTime if that is not known, noTime if it leaves out
// nothing.
func (b beginning) before() int64 {
	switch {
	case b.tail != noTail:
		return anyTime
	case b.since != noTime:
		return b.since - 1
	default:
		return noTime
	}
}
