package follow

import "pullwatch/internal/podlog/filter"

// nameMatcher matches names of containers with Input.Containers. It remembers names, of which there are few, for an expression
// may be costly. A nil nameMatcher matches all names.
type nameMatcher struct {
	text       string
	expression *filter.Expression
	known      map[string]bool
}

const (
	// maxKnown bounds nameMatcher.known.
	maxKnown = 1000
	// knownMemory is for each name in nameMatcher.known, in bytes.
	knownMemory = 128
)

// memory is what m takes, in bytes.
func (m *nameMatcher) memory() int {
	if m == nil {
		return 0
	}
	return m.expression.ProgramLength()*(programMemory+machineMemory) + maxKnown*knownMemory
}

// newNameMatcher compiles an expression. Its errors are BAD_INPUT.
func newNameMatcher(text string) (*nameMatcher, error) {
	expression, err := filter.CompileWhole("containers", &text)
	if err != nil {
		return nil, err
	}
	return &nameMatcher{text: text, expression: expression, known: map[string]bool{}}, nil
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
		matches = m.expression.MatchString(name)
		m.known[name] = matches
	}
	return matches
}
