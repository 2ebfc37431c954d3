package podlog

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pullwatch/internal/turns"
)

// slowest is an expression of the largest program, of which most is tried at each byte of slowLine.
var (
	slowest  = `(?:a?){490}Z`
	slowLine = []byte(strings.Repeat("a", MaxMessage))
)

func newTestMatcher(t testing.TB, text string, workers int) *matcher {
	t.Helper()
	e, err := compile("include", &text)
	if err != nil {
		t.Fatal(err)
	}
	return &matcher{include: e, turns: turns.New(workers), caller: "a"}
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
		ok, err := m.passes(t.Context(), []byte(strings.Repeat("a", 20_000)+"é!"))
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
	m.pause()
	if ok, err := m.passes(ctx, []byte("short")); ok || !errors.Is(err, context.Canceled) {
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

func TestSimpleExpressionsDoNotWaitForLargeOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		streamer := newTestStreamer(newFakeSource(func(LogRequest) (io.ReadCloser, error) { return r, nil },
			pods(pod("web", running("1")))))
		streamer.Turns = turns.New(1)
		in := podInput()
		in.Include = ptr(`\b5\d\d\b`)
		st, err := streamer.Stream(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		if _, err := streamer.Turns.Take(t.Context(), "other"); err != nil { // for ever
			t.Fatal(err)
		}
		go io.WriteString(w, at(0, "GET /a 200")+at(1, "GET /b 500"))
		for {
			batch, err := st.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(batch.Lines) > 0 {
				break
			}
		}
	})
}

// TestNoTurnIsKeptByAStreamThatWaits checks that streams which wait for more lines, or for their readers, leave the turns to
// others.
func TestNoTurnIsKeptByAStreamThatWaits(t *testing.T) {
	for _, test := range []struct {
		name, message string
		lines         int
	}{
		{"for lines", strings.Repeat("x", 1000), 100},
		{"for its reader", strings.Repeat("x", 1000), 3000},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log strings.Builder
				for i := range test.lines {
					log.WriteString(at(i, test.message))
				}
				streamer := newTestStreamer(newFakeSource(func(LogRequest) (io.ReadCloser, error) {
					return hanging(log.String()), nil
				}, pods(pod("web", running("1")))))
				streamer.Turns = turns.New(1)
				in := podInput()
				in.Include = ptr(`x(?:y?){20}x`)
				st, err := streamer.Stream(t.Context(), in)
				if err != nil {
					t.Fatal(err)
				}
				defer st.Close()
				pass(time.Minute)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				end, err := streamer.Turns.Take(ctx, "other")
				if err != nil {
					t.Fatal("the turn is kept")
				}
				end()
			})
		})
	}
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
					m.pause() // a read brings about as many
				}
				if _, err := m.passes(b.Context(), line); err != nil {
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
				if _, err := m.passes(b.Context(), slowLine); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
