package follow

import (
	"regexp"

	"pullwatch/internal/podlog/filter"
)

// nameMatcher matches names of containers with Input.Containers. It remembers names, of which there are few, for an expression
// may be costly. A nil nameMatcher matches all names.
type nameMatcher struct {
	text  string
	re    *regexp.Regexp
	known map[string]bool
}

// maxKnown bounds nameMatcher.known.
const maxKnown = 1000

// newNameMatcher compiles an expression. Its errors are BAD_INPUT.
func newNameMatcher(text string) (*nameMatcher, error) {
	// By itself first: with what is put around it, an expression such as a)|(b would be valid.
	if _, err := filter.Compile("containers", &text); err != nil {
		return nil, err
	}
	re, err := regexp.Compile(`\A(?:` + text + `)\z`)
	if err != nil {
		return nil, err
	}
	return &nameMatcher{text: text, re: re, known: map[string]bool{}}, nil
}

func (m *nameMatcher) matches(name string) bool {
	if m == nil {
		return true
	}
	matches, ok := m.known[name]
	if !ok {
		if len(m.known) == maxKnown {
			clear(m.known)
		}
		matches = m.re.MatchString(name)
		m.known[name] = matches
	}
	return matches
}
