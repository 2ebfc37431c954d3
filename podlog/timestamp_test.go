package podlog

import (
	"strings"
	"testing"
	"time"
)

func TestSplitTimestamp(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC).UnixNano()
	for line, want := range map[string]struct {
		nanos   int64
		message string
	}{
		"2026-01-02T03:04:05.000000678Z a b":      {at, "a b"},
		"2026-01-02T03:04:05.000000678Z ":         {at, ""},
		"2026-01-02T03:04:05.000000678Z":          {at, ""},
		"2026-01-02T03:04:05.000000678Z  a":       {at, " a"},
		"2026-01-02T05:04:05.000000678+02:00 a":   {at, "a"},
		"2026-01-02T03:04:05Z a":                  {at - 678, "a"},
		"2026-01-02T03:04:05.00000067xZ a":        {0, "2026-01-02T03:04:05.00000067xZ a"},
		"2026-13-02T03:04:05.000000678Z a":        {0, "2026-13-02T03:04:05.000000678Z a"},
		"1969-12-31T23:59:59.000000678Z a":        {0, "1969-12-31T23:59:59.000000678Z a"},
		"2300-01-02T03:04:05.000000678Z a":        {0, "2300-01-02T03:04:05.000000678Z a"},
		"2026-01-02 a":                            {0, "2026-01-02 a"},
		"unable to retrieve container logs":       {0, "unable to retrieve container logs"},
		"":                                        {0, ""},
		" ":                                       {0, " "},
		strings.Repeat("2", 2*maxPrefix) + " end": {0, strings.Repeat("2", 2*maxPrefix) + " end"},
	} {
		var stamps stampReader
		for range 2 { // the second time with a known second
			nanos, message := stamps.split([]byte(line))
			if nanos != want.nanos || string(message) != want.message {
				t.Errorf("%.60q: got %v, %q", line, nanos, message)
			}
		}
	}
}

// FuzzTimestamp holds the fast way to read timestamps against the general one.
func FuzzTimestamp(f *testing.F) {
	f.Add("2026-01-02T03:04:05.000000678Z ")
	f.Add("2026-02-30T24:04:05,000000678Z ")
	f.Add("2026-01-02T03:04:60.000000678Z ")
	f.Fuzz(func(t *testing.T, line string) {
		var stamps stampReader
		nanos, length := stamps.fixed([]byte(line))
		if length == 0 {
			return
		}
		want, err := time.Parse(time.RFC3339Nano, line[:length-1])
		if err != nil || want.UnixNano() != nanos {
			t.Errorf("got %v, want %v, %v", nanos, want, err)
		}
	})
}
