package podlog

import "time"

// stampTime is the Line.Timestamp for nanos.
func stampTime(nanos int64) time.Time {
	if nanos == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanos).UTC()
}
