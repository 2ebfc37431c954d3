// Package filter matches the lines of a log with a caller's regular expressions. It bounds their cost: a program, which is
// what an expression is compiled to, has a limited size, and lines are matched in turns.
package filter

import (
	"regexp"
	"regexp/syntax"

	"pullwatch/internal/podlog"
	"pullwatch/internal/usererr"
)

// maxProgram is the highest programSize of an Expression. Repetitions multiply: a kilobyte can stand for a program of a million
// instructions, which takes 125 MB and 1.4 s for one line. Up to here a program takes 200 KB, as much again while it matches a
// line, and 8 ns an instruction and byte at the worst. That is 0.55 s for a line of 64 KiB, and half a minute for
// podlog.MaxFiltered, in thousands of turns between which others have theirs. An alternation of a hundred words of seven letters
// has 800 instructions.
const maxProgram = 1000

// Expression is Input.Include, Input.Exclude or Input.Containers.
type Expression struct {
	*regexp.Regexp
	// size is its programSize.
	size int
}

// ProgramLength is the number of instructions of e's program; 0 when e is nil.
func (e *Expression) ProgramLength() int {
	if e == nil {
		return 0
	}
	return e.size
}

// Compile compiles an expression, which is nil when text is nil or empty. Its errors are BAD_INPUT and name field.
func Compile(field string, text *string) (*Expression, error) {
	return compile(field, text, "", "")
}

// CompileWhole is Compile for an expression that must match all of a text.
func CompileWhole(field string, text *string) (*Expression, error) {
	return compile(field, text, `\A`, `\z`)
}

// compile is Compile for an expression between before and after, each of which is empty or one assertion.
func compile(field string, text *string, before, after string) (*Expression, error) {
	if text == nil || *text == "" { // a form sends an empty field when nothing was entered
		return nil, nil
	}
	if len(*text) > podlog.MaxExpression {
		return nil, usererr.New(usererr.BadInput, "%s is %d bytes long; it may have %d", field, len(*text), podlog.MaxExpression)
	}
	parsed, err := syntax.Parse(*text, syntax.Perl)
	if err != nil {
		return nil, usererr.New(usererr.BadInput, "%s is not an RE2 expression: %v", field, err)
	}
	size := programSize(parsed) + len(before+after)/len(`\A`)
	if size > maxProgram {
		return nil, usererr.New(usererr.BadInput, "%s is too large: it comes to %d instructions, and may have %d. A repetition "+
			"such as {100} counts what it repeats as many times; * and + count it once. Repeat less, or give fewer "+
			"alternatives or classes such as \\pL", field, size, maxProgram)
	}
	re, err := regexp.Compile(unanchored(before + "(?:" + *text + ")" + after))
	if err != nil {
		return nil, usererr.New(usererr.BadInput, "%s is not an RE2 expression: %v", field, err)
	}
	return &Expression{Regexp: re, size: size}, nil
}

// unanchored returns an expression that matches the same as a valid one, and does not begin with ^. For one that does, the
// regexp package tries to make a second program, which finds what groups have matched. For 300 optional characters and a
// few classes that may take half a second and 1.7 GB.
func unanchored(text string) string { return "(?:)" + text }

// A class of many ranges costs more than an instruction: time, for it is searched, and memory, once however often it is
// repeated.
const (
	fewRanges = 4
	// instructionRanges are about as large as an instruction.
	instructionRanges = 32
)

// programSize returns an upper bound of an expression's program, in instructions. It does not expand the expression, so
// that it takes no more time than the expression is long.
func programSize(re *syntax.Regexp) int {
	return instructions(re) + ranges(re)/instructionRanges + 3 // for no match, a match, and what unanchored adds
}

// instructions returns an upper bound of the instructions that re is compiled to.
func instructions(re *syntax.Regexp) int {
	sum := 0
	for _, sub := range re.Sub {
		sum += instructions(sub)
	}
	switch re.Op {
	case syntax.OpLiteral:
		return max(1, len(re.Rune))
	case syntax.OpCharClass:
		if len(re.Rune) > 2*fewRanges {
			return 2
		}
	case syntax.OpConcat:
		return max(1, sum)
	case syntax.OpAlternate:
		return max(1, sum+len(re.Sub)-1)
	case syntax.OpPlus, syntax.OpQuest:
		return sum + 1
	case syntax.OpStar, syntax.OpCapture:
		return sum + 2
	case syntax.OpRepeat:
		if re.Max < 0 {
			return max(1, re.Min)*sum + 2
		}
		return max(1, re.Max*sum+re.Max-re.Min)
	}
	return 1
}

// ranges returns how many ranges of characters the classes of re have.
func ranges(re *syntax.Regexp) int {
	n := 0
	if re.Op == syntax.OpCharClass {
		n = len(re.Rune) / 2
	}
	for _, sub := range re.Sub {
		n += ranges(sub)
	}
	return n
}
