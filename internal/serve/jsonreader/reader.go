// Package jsonreader reads the JSON of GraphQL requests: in one go, and within limits of what it becomes in memory, which
// can be fifty times as much as the text.
package jsonreader

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"pullwatch/internal/budget"
)

// Limits of a text.
const (
	// MaxValues is how many values may be made of a text: a thousand ids are a thousand and some.
	MaxValues = 10_000
	// MaxDepth is how deep objects and arrays may be in each other.
	MaxDepth = 200
)

// ErrSyntax says that a text is not what it is read as. Which byte is wrong encoding/json can tell.
var ErrSyntax = errors.New("not well-formed JSON")

// A LimitError says which limit a text exceeds.
type LimitError struct{ message string }

func (e *LimitError) Error() string { return e.message }

var (
	errValues = &LimitError{fmt.Sprintf("the JSON of the request has more than %d values", MaxValues)}
	errDepth  = &LimitError{fmt.Sprintf("the JSON of the request is nested more than %d deep", MaxDepth)}
)

// Reader reads JSON text. encoding/json takes several times as long for what requests hold, takes the name of a
// struct's field in any case, and of several members with one name the last.
type Reader struct {
	text   []byte
	at     int
	depth  int
	values int
	// memory counts what the values take; room is how much of that is not used yet, in bytes.
	memory *budget.Account
	room   int
	err    error
}

// New returns a Reader of text, which must be UTF-8. What it makes of the text is taken from memory, which may be nil;
// its owner gives it back.
func New(text []byte, memory *budget.Account) *Reader { return &Reader{text: text, memory: memory} }

// Err returns why nothing more can be read: [ErrSyntax], a [*LimitError] or an error of the budget. It is nil while all
// is well.
func (r *Reader) Err() error { return r.err }

// fail ends the text. Only the first reason counts.
func (r *Reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.at = len(r.text)
}

// lump is how many bytes are taken from the budget at a time, at least.
const lump = 4 << 10

// begin counts a value, and takes what it takes in memory besides its text.
func (r *Reader) begin(bytes int) {
	if r.values++; r.values > MaxValues {
		r.fail(errValues)
		return
	}
	r.spend(bytes)
}

// spend takes so many bytes.
func (r *Reader) spend(bytes int) {
	if bytes > r.room {
		more := max(bytes-r.room, lump)
		if err := r.memory.Take(budget.Requests, more); err != nil {
			r.fail(err)
			return
		}
		r.room += more
	}
	r.room -= bytes
}

// What values take in memory, besides their texts. An array doubles as it grows, and a map has room for eight members
// from the first one on.
const (
	bytesOfValue  = 64
	bytesOfObject = 400
	bytesOfMember = 100
)

// Next goes to the next byte that is not white space and returns it, or 0 at the end.
func (r *Reader) Next() byte {
	for ; r.at < len(r.text); r.at++ {
		switch c := r.text[r.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// End reports whether nothing but white space is left, and nothing was wrong.
func (r *Reader) End() bool {
	if r.Next() != 0 || r.at < len(r.text) {
		r.fail(ErrSyntax)
	}
	return r.err == nil
}

// Enter goes into an object or an array, which end ends. It reports whether there is anything in it; if not, it is
// behind it.
func (r *Reader) Enter(end byte) bool {
	r.at++
	if r.depth++; r.depth > MaxDepth {
		r.fail(errDepth)
		return false
	}
	if r.Next() != end {
		return true
	}
	return r.leave()
}

// More goes on to the next member or element. It reports whether there is one; if not, it is behind the object or
// array.
func (r *Reader) More(end byte) bool {
	switch r.Next() {
	case ',':
		r.at++
		return true
	case end:
		return r.leave()
	}
	r.fail(ErrSyntax)
	return false
}

func (r *Reader) leave() bool {
	r.at++
	r.depth--
	return false
}

// Name returns the name of a member and goes on to its value.
func (r *Reader) Name() string {
	if r.Next() != '"' {
		r.fail(ErrSyntax)
		return ""
	}
	name := r.string()
	if r.Next() != ':' {
		r.fail(ErrSyntax)
		return ""
	}
	r.at++
	return name
}

// quoted returns a string as it is written, with its quotes. Whether its escapes are right is not checked.
func (r *Reader) quoted() []byte {
	start := r.at
	for r.at++; r.at < len(r.text); r.at++ {
		switch c := r.text[r.at]; {
		case c == '"':
			r.at++
			return r.text[start:r.at]
		case c == '\\':
			r.at++
		case c < ' ':
			r.fail(ErrSyntax)
		}
	}
	r.fail(ErrSyntax)
	return nil
}

// String returns what a string stands for. What is no character becomes U+FFFD.
func (r *Reader) String() string {
	r.begin(bytesOfValue)
	return r.string()
}

func (r *Reader) string() string {
	quoted := r.quoted()
	if r.err != nil {
		return ""
	}
	r.spend(len(quoted))
	if r.err != nil {
		return ""
	}
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1 : len(quoted)-1])
	}
	if s, ok := unescape(quoted[1 : len(quoted)-1]); ok {
		return s
	}
	var s string
	if json.Unmarshal(quoted, &s) != nil {
		r.fail(ErrSyntax)
	}
	return s
}

// unescape returns the string that text stands for, unless that takes more than what queries usually have: escapes of a
// single letter.
func unescape(text []byte) (string, bool) {
	var s strings.Builder
	s.Grow(len(text))
	for {
		i := bytes.IndexByte(text, '\\')
		if i < 0 {
			s.Write(text)
			return s.String(), true
		}
		s.Write(text[:i])
		// There is a letter behind it: what ends a string is not escaped.
		switch letter := text[i+1]; letter {
		case 'n':
			s.WriteByte('\n')
		case 't':
			s.WriteByte('\t')
		case 'r':
			s.WriteByte('\r')
		case '"', '\\', '/':
			s.WriteByte(letter)
		default:
			return "", false
		}
		text = text[i+2:]
	}
}

// Literal returns a number, true, false or null as it is written.
func (r *Reader) Literal() []byte {
	start := r.at
scan:
	for ; r.at < len(r.text); r.at++ {
		switch r.text[r.at] {
		case ',', ']', '}', ':', ' ', '\t', '\r', '\n':
			break scan
		}
	}
	literal := r.text[start:r.at]
	if !json.Valid(literal) {
		r.fail(ErrSyntax)
	}
	return literal
}

// Value returns a value as encoding/json has it, with numbers as json.Number: gqlgen expects them so, and long ones
// keep all their digits.
func (r *Reader) Value() any {
	switch r.Next() {
	case '{':
		return r.Object()
	case '[':
		r.begin(bytesOfValue)
		array := []any{}
		for more := r.Enter(']'); more; more = r.More(']') {
			array = append(array, r.Value())
		}
		return array
	case '"':
		return r.String()
	}
	text := r.Literal()
	r.begin(bytesOfValue)
	r.spend(len(text))
	switch literal := string(text); literal {
	case "true":
		return true
	case "false":
		return false
	case "null":
		return nil
	default:
		return json.Number(literal)
	}
}

// Object returns the members of an object.
func (r *Reader) Object() map[string]any {
	r.begin(bytesOfObject)
	object := map[string]any{}
	for more := r.Enter('}'); more; more = r.More('}') {
		name := r.Name()
		r.spend(bytesOfMember)
		object[name] = r.Value()
	}
	return object
}

// Skip goes behind a value and returns it as it is written, without making anything of it.
func (r *Reader) Skip() []byte {
	first := r.Next()
	start := r.at
	switch first {
	case '{':
		for more := r.Enter('}'); more; more = r.More('}') {
			if r.Next() != '"' {
				r.fail(ErrSyntax)
				break
			}
			r.skipString()
			if r.Next() != ':' {
				r.fail(ErrSyntax)
				break
			}
			r.at++
			r.Skip()
		}
	case '[':
		for more := r.Enter(']'); more; more = r.More(']') {
			r.Skip()
		}
	case '"':
		r.skipString()
	default:
		r.Literal()
	}
	if r.err != nil {
		return nil
	}
	return r.text[start:r.at]
}

func (r *Reader) skipString() {
	if quoted := r.quoted(); bytes.IndexByte(quoted, '\\') >= 0 && !json.Valid(quoted) {
		r.fail(ErrSyntax)
	}
}
