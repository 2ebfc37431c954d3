package filter

import (
	"context"
	"io"
	"unicode/utf8"

	"pullwatch/internal/turns"
)

// Matching a line is counted in steps: instructions of the program times bytes of the line. At the worst each takes
// 8 ns.
const (
	// freeSteps are done without a turn between two reads of a log, as they take no longer than reading it does. So nobody
	// with a simple expression waits for those with large ones.
	freeSteps = 8 << 10
	// turnSteps are done in one turn, in up to 8 ms, unless a line takes more.
	turnSteps = 1 << 20
	// longSteps are what a line is matched with as a whole, in up to 33 ms. One that takes more is given to its program
	// piece by piece, which then cannot skip to where a match may begin.
	longSteps = 4 << 20
)

// Matcher tells which lines of a log pass the filters of its stream. It does so in turns, so that streams with filters
// leave processors to others, and those of one caller to those of others. A nil matcher has no filters. It is for one
// goroutine.
type Matcher struct {
	include, exclude *Expression
	turns            *turns.Turns
	caller           string
	// end gives the turn back that the matcher has; nil when it has none.
	end func()
	// spent counts the steps of this turn, or without one, those since the last read.
	spent int
}

// NewMatcher returns a matcher of include and exclude, either of which may be nil, that takes its turns for caller.
func NewMatcher(include, exclude *Expression, t *turns.Turns, caller string) *Matcher {
	if include == nil && exclude == nil {
		return nil
	}
	return &Matcher{include: include, exclude: exclude, turns: t, caller: caller}
}

// Passes reports whether include and exclude let a message through. It waits for a turn when it takes one. Its error is
// ctx's, and comes within longSteps after ctx has ended.
func (m *Matcher) Passes(ctx context.Context, message []byte) (bool, error) {
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

// spend waits until so many steps may be done.
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

// Pause gives the turn back. It is called before anything that may wait for others.
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

// pacedText gives a message to a program, a piece in each turn. Once ctx has ended, so does the text, with err set.
type pacedText struct {
	ctx     context.Context
	matcher *Matcher
	rest    []byte
	// pace is how many characters a turn is for, and left how many of them are left of this one.
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
