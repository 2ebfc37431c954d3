// Package jsonreader reads the JSON of GraphQL requests in one pass. It limits what a text becomes in memory, which can be
// fifty times the text's length.
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
	// MaxValues is how many values may be decoded from a text. Values that Skip skips do not count. A request with a
	// thousand ids has a few more than a thousand.
	MaxValues = 10_000
	// MaxDepth is how deep objects and arrays may be nested.
	MaxDepth = 200
)

// ErrSyntax says that a text is not JSON, or not of the type that is read. It does not say which byte is wrong:
// encoding/json does.
var ErrSyntax = errors.New("not well-formed JSON")

// A LimitError says which limit a text exceeds.
type LimitError struct{ message string }

func (e *LimitError) Error() string { return e.message }

var (
	errValues = &LimitError{fmt.Sprintf("the JSON of the request has more than %d values", MaxValues)}
	errDepth  = &LimitError{fmt.Sprintf("the JSON of the request is nested more than %d deep", MaxDepth)}
)

// Reader reads JSON text. It is used instead of encoding/json, which takes several times as long for requests, ignores the
// case of a struct field's name, and takes the last of several members with the same name.
type Reader struct {
	text   []byte
	at     int
	depth  int
	values int
	// memory is where memory for the values is taken from. unused is how many of the bytes taken are left.
	memory *budget.Account
	unused int
	err    error
}

// New returns a Reader of text, which must be UTF-8. It takes the memory of the values from memory, which may be nil. The
// owner of memory gives it back.
func New(text []byte, memory *budget.Account) *Reader { return &Reader{text: text, memory: memory} }

// Err returns the first error: [ErrSyntax], a [*LimitError] or an error of the budget. After an error nothing more is read.
func (r *Reader) Err() error { return r.err }

// fail sets Err, unless it is set already, and ends reading.
func (r *Reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.at = len(r.text)
}

// memoryStep is how many bytes are taken from the budget at a time, at least.
const memoryStep = 4 << 10

// countValue counts a value and takes so many bytes for it. Its text is not among them.
func (r *Reader) countValue(bytes int) {
	if r.values++; r.values > MaxValues {
		r.fail(errValues)
		return
	}
	r.takeMemory(bytes)
}

func (r *Reader) takeMemory(bytes int) {
	if bytes > r.unused {
		more := max(bytes-r.unused, memoryStep)
		if err := r.memory.Take(budget.Requests, more); err != nil {
			r.fail(err)
			return
		}
		r.unused += more
	}
	r.unused -= bytes
}

// What values take in memory, in bytes, without their texts. An array doubles as it grows. A map has space for eight
// members from the first one on.
const (
	bytesOfValue  = 64
	bytesOfObject = 400
	bytesOfMember = 100
)

// Next skips white space and returns the next byte without reading it. It returns 0 at the end.
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

// End reports whether the text has been read without an error. Only white space may be left.
func (r *Reader) End() bool {
	if r.Next() != 0 || r.at < len(r.text) {
		r.fail(ErrSyntax)
	}
	return r.err == nil
}

// Enter begins to read an object or an array. end is its last byte. Enter reports whether there is a first member or
// element. If not, it has read the end, too.
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

// More reports whether there is another member or element. If not, it has read the end of the object or array.
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

// Name reads the name of a member and the colon after it.
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

// quoted reads a string and returns it as it is written, with its quotes. It does not check escapes.
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

// String reads a string and decodes its escapes. An escape that is no character becomes U+FFFD.
func (r *Reader) String() string {
	r.countValue(bytesOfValue)
	return r.string()
}

func (r *Reader) string() string {
	quoted := r.quoted()
	if r.err != nil {
		return ""
	}
	r.takeMemory(len(quoted))
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

// unescape decodes the escapes of a single letter, which is all that queries usually have. It reports false for others.
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
		// A letter follows: the quote that ends the string is not escaped.
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

// Literal reads a number, true, false or null and returns it as it is written.
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

// Value reads a value of any type and returns what encoding/json would. Numbers are json.Number: gqlgen expects that, and
// long ones keep all their digits.
func (r *Reader) Value() any {
	switch r.Next() {
	case '{':
		return r.Object()
	case '[':
		r.countValue(bytesOfValue)
		array := []any{}
		for more := r.Enter(']'); more; more = r.More(']') {
			array = append(array, r.Value())
		}
		return array
	case '"':
		return r.String()
	}
	text := r.Literal()
	r.countValue(bytesOfValue)
	r.takeMemory(len(text))
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

// Object reads an object and returns its members.
func (r *Reader) Object() map[string]any {
	r.countValue(bytesOfObject)
	object := map[string]any{}
	for more := r.Enter('}'); more; more = r.More('}') {
		name := r.Name()
		r.takeMemory(bytesOfMember)
		object[name] = r.Value()
	}
	return object
}

// Skip reads a value and returns it as it is written. It decodes nothing and takes no memory.
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
