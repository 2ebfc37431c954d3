package graphqlhttp

import (
	"bytes"
	"encoding/json"
	"strings"
)

// reader reads JSON text in one go. encoding/json takes several times as long for what requests hold, takes the name of
// a struct's field in any case, and of several members with one name the last.
type reader struct {
	text  []byte
	at    int
	depth int
	// bad says that the text is not JSON. Then there is nothing more to read.
	bad bool
}

func (r *reader) fail() { r.bad, r.at = true, len(r.text) }

// next goes to the next byte that is not white space and returns it, or 0 at the end.
func (r *reader) next() byte {
	for ; r.at < len(r.text); r.at++ {
		switch c := r.text[r.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// maxDepth is how deep objects and arrays may be in each other: as deep as encoding/json lets them.
const maxDepth = 10_000

// enter goes into an object or an array, which end ends. It reports whether there is anything in it; if not, it is
// behind it.
func (r *reader) enter(end byte) bool {
	r.at++
	if r.depth++; r.depth > maxDepth {
		r.fail()
		return false
	}
	if r.next() != end {
		return true
	}
	return r.leave()
}

// more goes on to the next member or element. It reports whether there is one; if not, it is behind the object or
// array.
func (r *reader) more(end byte) bool {
	switch r.next() {
	case ',':
		r.at++
		return true
	case end:
		return r.leave()
	}
	r.fail()
	return false
}

func (r *reader) leave() bool {
	r.at++
	r.depth--
	return false
}

// name returns the name of a member and goes on to its value.
func (r *reader) name() string {
	if r.next() != '"' {
		r.fail()
		return ""
	}
	name := r.string()
	if r.next() != ':' {
		r.fail()
		return ""
	}
	r.at++
	return name
}

// quoted returns a string as it is written, with its quotes. Whether its escapes are right is not checked.
func (r *reader) quoted() []byte {
	start := r.at
	for r.at++; r.at < len(r.text); r.at++ {
		switch c := r.text[r.at]; {
		case c == '"':
			r.at++
			return r.text[start:r.at]
		case c == '\\':
			r.at++
		case c < ' ':
			r.fail()
		}
	}
	r.fail()
	return nil
}

// string returns what a string stands for. What is no character becomes U+FFFD.
func (r *reader) string() string {
	quoted := r.quoted()
	if r.bad {
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
		r.fail()
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

// literal returns a number, true, false or null as it is written.
func (r *reader) literal() []byte {
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
		r.fail()
	}
	return literal
}

// value returns a value as encoding/json has it, with numbers as json.Number: gqlgen expects them so, and long ones
// keep all their digits.
func (r *reader) value() any {
	switch r.next() {
	case '{':
		return r.object()
	case '[':
		array := []any{}
		for more := r.enter(']'); more; more = r.more(']') {
			array = append(array, r.value())
		}
		return array
	case '"':
		return r.string()
	}
	switch literal := string(r.literal()); literal {
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

func (r *reader) object() map[string]any {
	object := map[string]any{}
	for more := r.enter('}'); more; more = r.more('}') {
		name := r.name()
		object[name] = r.value()
	}
	return object
}
