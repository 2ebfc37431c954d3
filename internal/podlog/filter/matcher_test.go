package filter

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"pullwatch/internal/podlog"
	"pullwatch/internal/turns"
)

// slowest is an expression of the largest program, of which most is tried at each byte of slowLine.
var (
	slowest  = `(?:a?){490}Z`
	slowLine = []byte(strings.Repeat("a", podlog.DefaultLineBytes))
)

func newTestMatcher(t testing.TB, text string, workers int) *Matcher {
	t.Helper()
	e, err := Compile("include", &text)
	if err != nil {
		t.Fatal(err)
	}
	return &Matcher{include: e, turns: turns.New(workers), caller: "a"}
}

func TestLongLinesMatchAsShortOnesDo(t *testing.T) {
	for _, test := range []struct {
		expression string
		exclude    bool
		want       bool
	}{
		{`(?:a?){300}é!$`, false, true},
		{`(?:a?){300}é!$`, true, false},
		{`(?:a?){300}é!.$`, false, false},
		{`^(?:a?){300}b`, false, false},
		{`^(?:a?){300}b`, true, true},
	} {
		m := newTestMatcher(t, test.expression, 1)
		if test.exclude {
			m.include, m.exclude = nil, m.include
		}
		ok, err := m.Match(t.Context(), []byte(strings.Repeat("a", 20_000)+"é!"))
		if ok != test.want || err != nil {
			t.Errorf("%s, exclude %v: %v, %v, want %v", test.expression, test.exclude, ok, err, test.want)
		}
	}
}

func TestMatchingStopsWithItsStream(t *testing.T) {
	m := newTestMatcher(t, slowest, 1)
	ctx, cancel := context.WithCancel(t.Context())
	// The turn is taken away in the middle of the line, by somebody who ends the stream meanwhile.
	var others sync.WaitGroup
	text := &pacedText{ctx: ctx, matcher: m, rest: slowLine, pace: turnSteps / m.include.size}
	if _, _, err := text.ReadRune(); err != nil {
		t.Fatal(err)
	}
	others.Go(cancel)
	others.Wait()
	if m.include.MatchReader(text); !errors.Is(text.err, context.Canceled) {
		t.Errorf("ended with %v", text.err)
	}
	if left := len(text.rest); left < len(slowLine)-text.pace {
		t.Errorf("%d bytes were matched after the end of the stream", len(slowLine)-left)
	}
	m.Pause()
	if ok, err := m.Match(ctx, []byte("short")); ok || !errors.Is(err, context.Canceled) {
		t.Errorf("the next line: %v, %v", ok, err)
	}
}

// TestOthersGetTheirTurnWithinALongLine checks that one who waits while a line is matched does not wait for its end.
func TestOthersGetTheirTurnWithinALongLine(t *testing.T) {
	m := newTestMatcher(t, slowest, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	text := &pacedText{ctx: ctx, matcher: m, rest: slowLine, pace: turnSteps / m.include.size}
	if _, _, err := text.ReadRune(); err != nil {
		t.Fatal(err)
	}
	var other sync.WaitGroup
	other.Go(func() {
		end, err := m.turns.Take(ctx, "b")
		if err != nil {
			t.Error(err)
			return
		}
		cancel() // the line has not come to its end, which it never does
		end()
	})
	for text.err == nil {
		text.rest = slowLine
		m.include.MatchReader(text)
	}
	other.Wait()
}

// BenchmarkFilter measures lines of 200 bytes through expressions of several sizes, and BenchmarkSlowestLine the longest
// line through the slowest expression.
func BenchmarkFilter(b *testing.B) {
	line := []byte(strings.Repeat("GET /index.html 200 ", 10))
	for name, text := range map[string]string{"literal": "timeout", "simple": `\b(error|warn)\b.*timeout`, "words": words()} {
		b.Run(name, func(b *testing.B) {
			m := newTestMatcher(b, text, 1)
			for i := 0; b.Loop(); i++ {
				if i%80 == 0 {
					m.Pause() // a read brings about as many
				}
				if _, err := m.Match(b.Context(), line); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(len(line)))
		})
		b.Run(name+" without turns", func(b *testing.B) {
			m := newTestMatcher(b, text, 1)
			for b.Loop() {
				m.include.Match(line)
			}
			b.SetBytes(int64(len(line)))
		})
	}
}

func BenchmarkSlowestLine(b *testing.B) {
	for name, text := range map[string]string{"any": slowest, "letters": `(?:\pL?){320}Z`, "literal": `a{990}b`} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			m := newTestMatcher(b, text, 1)
			for b.Loop() {
				if _, err := m.Match(b.Context(), slowLine); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
