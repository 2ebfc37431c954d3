package logshare

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func FuzzStamp(f *testing.F) {
	f.Add("2026-01-02T03:04:05.000000000Z message")
	f.Add("2026-01-02T03:04:05.123456789+07:30 message")
	f.Add("2024-02-30T03:04:05.123456789-07:00 message")
	f.Add("2026-01-02T24:04:05.123456789Z message")
	f.Add("2026-01-02T03:04:05.1Z ")
	f.Add("9999-01-02T03:04:05.123456789Z message")
	f.Add("message")
	f.Fuzz(func(t *testing.T, line string) {
		var p stampParser
		got, ok := p.parse([]byte(line))
		prefix, _, found := strings.Cut(line, " ")
		want, err := time.Parse(time.RFC3339, prefix)
		if valid := err == nil && representable(want); ok != valid && (ok || found && len(prefix) < stampLimit) {
			t.Fatalf("%q: accepted: %v, want %v", line, ok, valid)
		}
		if ok && got != want.UnixNano() {
			t.Errorf("%q: got %v, want %v", line, time.Unix(0, got).UTC(), want)
		}
		if again, _ := p.parse([]byte(line)); ok && again != got {
			t.Errorf("%q: %d after %d", line, again, got)
		}
	})
}

// FuzzScanner checks that it does not matter in which pieces a log comes.
func FuzzScanner(f *testing.F) {
	f.Add("2026-01-02T03:04:05.000000000Z a\n2026-01-02T03:04:05.000000001Z b\n2026-01-02T03:04:04Z c", uint64(1))
	f.Add("2026-01-02T03:04:05.000000000Z a\nno timestamp\n\n \n2026-01-02T03:04:04Z\n2026-01-02T03:04:05Z b\n", uint64(2))
	f.Add("2026-01-02T03:04:05Z "+strings.Repeat("long ", maxWholeLine/5)+"\n2026-01-02T03:04:05Z b\n"+strings.Repeat("x", 100), uint64(3))
	f.Fuzz(func(t *testing.T, log string, seed uint64) {
		whole := newScanner()
		want := whole.finish(whole.scan([]byte(log), nil))
		random := rand.New(rand.NewPCG(seed, 0))
		pieces := newScanner()
		var got []line
		for rest := []byte(log); len(rest) > 0; {
			n := 1 + random.IntN(min(len(rest), 50))
			got = pieces.scan(rest[:n], got)
			rest = rest[n:]
		}
		got = pieces.finish(got)
		if !slices.Equal(got, want) {
			t.Errorf("found %v, want %v", got, want)
		}
		if pieces.ordered != whole.ordered || pieces.longEnd != whole.longEnd || pieces.lineStart != whole.lineStart {
			t.Errorf("got %+v, want %+v", pieces, whole)
		}
		if n := bytes.Count([]byte(log), []byte("\n")); len(got) != n && len(got) != n+1 {
			t.Errorf("%d lines found, %d line ends", len(got), n)
		}
	})
}
