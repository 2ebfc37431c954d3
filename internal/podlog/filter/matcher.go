package filter

import (
	"context"
	"io"
	"unicode/utf8"

	"pullwatch/internal/turns"
)

// Matching a line is counted in steps: instructions of the program times bytes of the line. A step takes 8 ns at the
// worst.
const (
	// freeSteps need no turn between two reads of a log: they take no longer than the read. So a simple expression does not
	// wait for large ones.
	freeSteps = 8 << 10
	// turnSteps are done in one turn, in up to 8 ms, unless a line takes more.
	turnSteps = 1 << 20
	// longSteps are the most that a line is matched with at once, in up to 33 ms. A longer line is given to its program
	// piece by piece. The program then cannot skip to where a match may begin.
	longSteps = 4 << 20
)

// Matcher matches the lines of a log with the filters of its stream. It takes turns, so that streams with filters leave
// processors to other streams, and one caller's streams to those of others. A nil Matcher has no filters. A Matcher is for
// one goroutine.
type Matcher struct {
	include, exclude *Expression
	turns            *turns.Turns
	caller           string
	// end ends the matcher's turn; nil when it has none.
	end func()
	// spent counts the steps of this turn, or those since the last read when there is no turn.
	spent int
}

// NewMatcher returns a matcher of include and exclude, either of which may be nil, that takes its turns for caller.
func NewMatcher(include, exclude *Expression, t *turns.Turns, caller string) *Matcher {
	if include == nil && exclude == nil {
		return nil
	}
	return &Matcher{include: include, exclude: exclude, turns: t, caller: caller}
}

// Match reports whether a message matches include and does not match exclude. It may wait for a turn. Its error is ctx's, and
// comes within longSteps after ctx has ended.
func (m *Matcher) Match(ctx context.Context, message []byte) (bool, error) {
	if m == nil {
		return true, nil
	}
	if m.include != nil {
		if ok, err := m.matches(ctx, m.include, message); !ok || err != nil {
			return false, err
		}
	}
	if m.exclude != nil {
		if ok, err := m.matches(ctx, m.exclude, message); ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

func (m *Matcher) matches(ctx context.Context, e *Expression, message []byte) (bool, error) {
	steps := e.size * (len(message) + 1)
	if steps > longSteps {
		text := &pacedText{ctx: ctx, matcher: m, rest: message, pace: turnSteps / e.size}
		ok := e.MatchReader(text)
		return ok, text.err
	}
	if err := m.spend(ctx, steps); err != nil {
		return false, err
	}
	return e.Match(message), nil
}

// spend waits until the next steps may be done.
func (m *Matcher) spend(ctx context.Context, steps int) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.spent += steps
	switch {
	case m.end == nil && m.spent <= freeSteps, m.end != nil && m.spent <= turnSteps:
		return nil
	case m.end != nil:
		m.end()
	}
	m.spent = steps
	m.end, err = m.turns.Take(ctx, m.caller)
	return err
}

// Pause ends the turn. The caller calls it before anything that may wait for others.
func (m *Matcher) Pause() {
	if m == nil {
		return
	}
	m.spent = 0
	if m.end != nil {
		m.end()
		m.end = nil
	}
}

// pacedText gives a message to a program, a piece in each turn. When ctx ends, the text ends, too, and err is set.
type pacedText struct {
	ctx     context.Context
	matcher *Matcher
	rest    []byte
	// pace is how many characters one turn is for. left is how many of them this turn still has.
	pace, left int
	err        error
}

// ReadRune implements io.RuneReader.
func (t *pacedText) ReadRune() (r rune, size int, err error) {
	if t.left == 0 && t.err == nil {
		t.left = t.pace
		t.err = t.matcher.spend(t.ctx, turnSteps)
	}
	if t.err != nil || len(t.rest) == 0 {
		return 0, 0, io.EOF
	}
	t.left--
	r, size = utf8.DecodeRune(t.rest)
	t.rest = t.rest[size:]
	return r, size, nil
}
