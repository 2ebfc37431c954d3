package logline

import "time"

// IsCutTimestamp reports whether a last line without a line end may be the beginning of a timestamp.
func IsCutTimestamp(line []byte) bool {
	return len(line) > 0 && len(line) < len("2006-01-02T15:04:05.000000000Z ") && line[0] >= '0' && line[0] <= '9'
}

// Time returns the moment of a timestamp in nanoseconds since 1970; zero for 0.
func Time(nanos int64) time.Time {
	if nanos == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanos).UTC()
}
