package podlog

import (
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
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

// TestTimestampIsNeverZero reads lines that came without timestamps.
func TestTimestampIsNeverZero(t *testing.T) {
	for name, test := range map[string]struct {
		log  string
		want []time.Duration // since start; in one hour when they are read
	}{
		"none has one":       {"a\nb", []time.Duration{time.Hour, time.Hour}},
		"the first has none": {"a\n" + at(1000, "b"), []time.Duration{time.Hour, time.Second}},
		"one has none":       {at(1000, "a") + "b\n" + at(2000, "c"), []time.Duration{time.Second, time.Second, 2 * time.Second}},
		"the last has none":  {at(1000, "a") + "b", []time.Duration{time.Second, time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				read := time.Now().UTC()
				source := newFakeSource(func(LogRequest) (io.ReadCloser, error) { return text(test.log), nil },
					pods(finished(pod("web", ended("1", 0, "Completed")))))
				st := startStream(t, source, podInput())
				var got []time.Duration
				for {
					batch, err := st.Next(t.Context())
					if err != nil {
						break
					}
					for _, line := range batch.Lines {
						if line.Timestamp.Equal(read) {
							got = append(got, time.Hour)
						} else {
							got = append(got, line.Timestamp.Sub(start))
						}
					}
				}
				if !slices.Equal(got, test.want) {
					t.Errorf("got %v, want %v", got, test.want)
				}
			})
		})
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
