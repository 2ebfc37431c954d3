package logline

import (
	"strings"
	"testing"
	"time"
)

func TestCut(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC).UnixNano()
	long := "2026-01-02T03:04:05." + strings.Repeat("0", MaxLength) // too long for a timestamp
	for line, want := range map[string]struct {
		nanos   int64
		message string
	}{
		"2026-01-02T03:04:05.000000678Z a b":      {at, "a b"},
		"2026-01-02T03:04:05.000000678Z ":         {at, ""},
		"2026-01-02T03:04:05.000000678Z":          {at, ""},
		"2026-01-02T03:04:05.000000678Z\nb c":     {at, "\nb c"},
		"2026-01-02T03:04:05.000000678Z  a":       {at, " a"},
		"2026-01-02T05:04:05.000000678+02:00 a":   {at, "a"},
		"2026-01-01T19:34:05.000000678-07:30 a":   {at, "a"},
		"2026-01-02T03:04:05Z a":                  {at - 678, "a"},
		"2026-01-02T03:04:05.00000067xZ a":        {},
		"2026-13-02T03:04:05.000000678Z a":        {},
		"2026-01-02T03:04:05.000000678Za b":       {},
		"2026-01-02T03:04:05.000000678+0200 a":    {},
		"1970-01-01T00:00:00.000000000Z a":        {},
		"1970-01-01T00:00:00.000000001Z a":        {1, "a"},
		"1970-01-01T01:00:00.000000000+02:00 a":   {},
		"1969-12-31T23:59:59.000000678Z a":        {},
		"2261-12-31T23:59:59.999999999Z a":        {endSecond*int64(time.Second) - 1, "a"},
		"2262-01-01T00:00:00.000000000Z a":        {},
		"2300-01-02T03:04:05.000000678Z a":        {},
		"0001-01-01T00:00:00Z a":                  {},
		"2026-01-02 a":                            {},
		"unable to retrieve container logs":       {},
		"":                                        {},
		" ":                                       {},
		long[:MaxLength-2] + "Z a":                {at - 678, "a"},
		long[:MaxLength-1] + "Z a":                {},
		long[:MaxLength-1] + "Z":                  {},
		strings.Repeat("2", 2*MaxLength) + " end": {},
	} {
		if want.nanos == 0 {
			want.message = line
		}
		var p Parser
		for range 2 { // the second time with a known minute
			nanos, message := p.Cut([]byte(line))
			if nanos != want.nanos || string(message) != want.message {
				t.Errorf("%.60q: got %v, %q", line, nanos, message)
			}
		}
	}
}

// FuzzCut holds the fast way to read timestamps against the general one.
func FuzzCut(f *testing.F) {
	f.Add("2026-01-02T03:04:05.000000000Z message")
	f.Add("2026-01-02T03:04:05.123456789+07:30 message")
	f.Add("2024-02-30T03:04:05.123456789-07:00 message")
	f.Add("2026-01-02T24:04:05.123456789Z message")
	f.Add("2026-01-02T03:04:60.123456789Z message")
	f.Add("2026-01-02T03:04:05,123456789Z message")
	f.Add("2026-01-02T03:04:05.1Z\nmessage")
	f.Add("1970-01-01T03:04:05.123456789+03:05 message")
	f.Add("2261-12-31T23:04:05.123456789-01:00 message")
	f.Add("9999-01-02T03:04:05.123456789Z message")
	f.Add(strings.Repeat("\x00", len(minuteFormat)) + ":05.123456789Z message")
	f.Add("message")
	f.Fuzz(func(t *testing.T, line string) {
		prefix, message := line, ""
		if end := strings.IndexAny(line, " \n"); end >= 0 {
			prefix, message = line[:end], strings.TrimPrefix(line[end:], " ")
		}
		var want int64
		var at time.Time
		err := at.UnmarshalText([]byte(prefix))
		if year := at.UTC().Year(); err == nil && len(prefix) < MaxLength && 1970 <= year && year <= 2261 {
			want = at.UnixNano()
		}
		if want == 0 {
			message = line
		}
		var p Parser
		for range 2 { // the second time with a known minute
			nanos, rest := p.Cut([]byte(line))
			if nanos != want || string(rest) != message {
				t.Errorf("%q: got %d, %q, want %d", line, nanos, rest, want)
			}
		}
		if nanos, _ := p.Cut([]byte(line[:min(len(line), MaxLength)])); nanos != want {
			t.Errorf("%q: got %d from its head, want %d", line, nanos, want)
		}
	})
}

func BenchmarkCut(b *testing.B) {
	for name, interval := range map[string]time.Duration{"busy": time.Microsecond, "quiet": time.Minute} {
		b.Run(name, func(b *testing.B) {
			var lines [1000][]byte
			at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			for i := range lines {
				lines[i] = at.AppendFormat(nil, "2006-01-02T15:04:05.000000000Z07:00 message")
				at = at.Add(interval)
			}
			b.ReportAllocs()
			var p Parser
			for i := 0; b.Loop(); i++ {
				p.Cut(lines[i%len(lines)])
			}
		})
	}
}
