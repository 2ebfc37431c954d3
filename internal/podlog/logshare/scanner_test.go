package logshare

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// FuzzScanner checks that the pieces in which a log comes do not matter.
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
