package logshare

import (
	"math"
	"time"

	"pullwatch/internal/podlog"
)

// beginning is where a request begins: with the last tail lines, or with all when tail is noTail, and of these with
// those that are dated since or later.
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

// representable reports whether nanoseconds since 1970 can tell t.
func representable(t time.Time) bool {
	return t.Unix() > math.MinInt64/int64(time.Second) && t.Unix() < math.MaxInt64/int64(time.Second)
}

// before is the latest timestamp that a line may have which a request from b leaves out; anyTime as long as that is not
// known, and noTime when it leaves out nothing.
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
